"""Agreement with other frameworks' Panoptic-DeepLab: numbers in data/parity_deeplab_forms.

`bowenc0221_*`: bowenc0221/panoptic-deeplab cf8e20b with ResNet-50 at output stride 32.
`detectron2_*`: the project of detectron2 02b5c4e with ResNet-52 at output stride 16. Weights and
images are drawn as below, nothing is trained; stuff below 512 pixels is void. Of a map that is too
large to keep there are the shape, the deviation and 64 values.
"""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import paddle
import pytest
from drawn_networks import drawn_image, drawn_weight

from panoptic_deeplab.config import Config
from panoptic_deeplab.structures import Frame
from panoptic_deeplab.weights import set_weights
from panoptic_deeplab.weights.origins import origin_of

DATA = Path(__file__).parent / "data" / "parity_deeplab_forms"
SEEDS = {"bowenc0221": 7, "detectron2": 4}
SPECIAL = {
    r"classifier\.center\.1\.bias$": (1.0, 0.6),
    r"classifier\.offset\.1\.weight$": (4.0, 0.0),
    r"classifier\.semantic\.1\.weight$": (2.0, 0.0),
    r"sem_seg_head\.predictor\.weight$": (6.0, 0.0),
    r"center_predictor\.bias$": (1.0, -0.2),
    r"center_predictor\.weight$": (1.5, 0.0),
    r"offset_predictor\.weight$": (10.0, 0.0),
    r"(\.bn3|\.conv3\.norm)\.weight$": (0.25, 0.0),
}
"""Factor and summand of some weights, so that there are some centers and several classes."""

CONFIGS = {
    "bowenc0221": "panoptic_deeplab_r50_os32_cityscapes_2049x1025_bs1_90k_lr00005",
    "detectron2_separable": "panoptic_deeplab_r52_os16_cityscapes_1024x512_bs4_90k_lr0001",
    "detectron2_plain": "panoptic_deeplab_r52_os16_plain_cityscapes_1024x512_bs4_90k_lr0001",
}
CASES = {
    "bowenc0221_odd": ("bowenc0221", (97, 161), (97, 161), None),
    "bowenc0221_even": ("bowenc0221", (96, 160), (96, 160), None),
    "detectron2_separable": ("detectron2_separable", (96, 160), (96, 160), (6, 10)),
    "detectron2_window": ("detectron2_separable", (128, 160), (128, 160), (4, 5)),
    "detectron2_resized": ("detectron2_separable", (90, 150), (120, 200), None),
    "detectron2_plain": ("detectron2_plain", (96, 160), (96, 160), (6, 10)),
}
"""Network, size of its input, original size, window of the ASPP's pooling."""


@pytest.fixture(scope="module")
def networks() -> dict[str, Config]:
    """Networks built so far, by name."""
    return {}


def network(networks: dict[str, Config], name: str) -> Config:
    """The shipped configuration with the published names' drawn weights."""
    if name not in networks:
        config = Config(CONFIGS[name], ["postprocessor.min_stuff_area=512"])
        text = gzip.decompress((DATA / f"{name}_keys.txt.gz").read_bytes()).decode()
        shapes = {key: list(map(int, sides)) for key, *sides in map(str.split, text.splitlines())}
        names = origin_of(list(shapes)).names_of(list(config.model.state_dict()))
        assert sorted(names.values()) == sorted(shapes)
        seed = SEEDS[name.partition("_")[0]]
        weights = {
            here: drawn_weight(seed, there, shapes[there], SPECIAL) for here, there in names.items()
        }
        for here, value in config.model.state_dict().items():
            assert list(value.shape) == list(weights[here].shape), here
        set_weights(config.model, weights)
        config.model.eval()
        networks[name] = config
    return networks[name]


def assert_close(value: paddle.Tensor, expected: dict[str, np.ndarray], name: str) -> None:
    value = value.numpy()
    if name in expected:
        reference, deviation = expected[name], expected[name].std()
    else:
        assert value.shape == tuple(expected[f"{name}/shape"])
        value, reference = value.ravel()[expected[f"{name}/index"]], expected[f"{name}/value"]
        deviation = expected[f"{name}/std"]
    np.testing.assert_allclose(value, reference, rtol=0, atol=1e-4 * deviation, err_msg=name)


@pytest.mark.parametrize("case", CASES)
def test_features_outputs_and_panoptic_maps(networks: dict[str, Config], case: str) -> None:
    name, size, original_size, window = CASES[case]
    config = network(networks, name)
    for decoder in (config.model.head.semantic_decoder, config.model.head.instance_decoder):
        decoder.aspp.global_avg_pool[0].window = window
    with np.load(DATA / f"{case}.npz") as arrays:
        expected = dict(arrays)
    image = drawn_image(SEEDS[name.partition("_")[0]], *size)
    with paddle.no_grad():
        batch = config.preprocess(paddle.to_tensor(image[None]), paddle.to_tensor([[0, 0, *size]]))
        for level, feature in enumerate(config.model.backbone(batch), start=2):
            if f"backbone/res{level}/shape" in expected:
                assert_close(feature, expected, f"backbone/res{level}")
        outputs = config.model(batch)
    assert_close(outputs["semantic"], expected, "semantic")
    assert_close(outputs["center"], expected, "center")
    assert_close(outputs["offset"] / 4, expected, "offset")  # there before it is in pixels

    scale = (size[0] / original_size[0], size[1] / original_size[1])
    frame = Frame(original_size, size, scale, (0, 0, *size))
    (prediction,) = config.postprocessor(outputs, [frame])
    certain = ~expected["unsure"]
    theirs = expected["panoptic"]  # class * 1000 + number; void is -1 or 255000
    category = np.array([-1, *(s.category for s in prediction.segments)])[prediction.ids]
    of_theirs = np.where((theirs < 0) | (theirs >= 255_000), -1, theirs // 1000)
    np.testing.assert_array_equal(category[certain], of_theirs[certain])
    pairs = np.unique(np.stack([prediction.ids[certain], theirs[certain]], axis=1), axis=0)
    assert len(pairs) == len(np.unique(theirs[certain])) == len(np.unique(prediction.ids[certain]))
    if "scores" in expected:
        scores = sorted(s.score for s in prediction.segments if s.is_thing)
        theirs = np.sort(expected["scores"].clip(0))  # negative where the drawn heatmap is
        np.testing.assert_allclose(scores, theirs, atol=1e-5)
