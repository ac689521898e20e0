"""Agreement with PaddleSeg's contrib/PanopticDeepLab at d7975e7c, whose outputs lie in data/parity.

The files were made by that code, patched only so that it runs on paddlepaddle 3.3.1.
"""

from __future__ import annotations

import json
import pickle
import zlib
from pathlib import Path

import numpy as np
import paddle
import pytest

from panoptic_deeplab.config import Config
from panoptic_deeplab.formats.cityscapes import CITYSCAPES
from panoptic_deeplab.formats.coco import segment_of
from panoptic_deeplab.fusion import majority_vote
from panoptic_deeplab.grouping_settings import GroupingSettings
from panoptic_deeplab.losses import PanopticDeepLabLoss
from panoptic_deeplab.postprocess import find_centers, group_pixels, plain
from panoptic_deeplab.resample import resize_outputs
from panoptic_deeplab.targets import CenterOffsetTargets
from panoptic_deeplab.weights import load_weights

PARITY = Path(__file__).parent / "data" / "parity"
CONFIGS = Path(__file__).parents[1] / "configs" / "panoptic_deeplab"
REFERENCE_CONFIG = (
    CONFIGS / "panoptic_deeplab_resnet50_os32_cityscapes_1025x513_bs8_90k_lr00005.yml"
)
NUMBERS = range(6)
TARGET_NAMES = (
    "semantic",
    "center",
    "offset",
    "semantic_weights",
    "center_weights",
    "offset_weights",
)


def read(name: str) -> dict[str, np.ndarray]:
    with np.load(PARITY / f"{name}.npz") as arrays:
        return dict(arrays)


@pytest.mark.parametrize("number", NUMBERS)
def test_targets(number: int) -> None:
    expected = read(f"targets_{number}")
    segments = [segment_of(entry, CITYSCAPES) for entry in json.loads(str(expected["segments"]))]
    sample = {"panoptic": expected["panoptic"], "segments": segments}
    targets = CenterOffsetTargets(thing_ids=CITYSCAPES.thing_ids)(sample)
    for name in ("semantic", "semantic_weights", "center_weights", "offset_weights"):
        np.testing.assert_array_equal(targets[name], expected[name], err_msg=name)
    for name in ("center", "offset"):
        np.testing.assert_allclose(targets[name], expected[name], atol=1e-6, err_msg=name)


@pytest.mark.parametrize("number", NUMBERS)
def test_losses(number: int) -> None:
    expected, truth = read(f"loss_{number}"), read(f"targets_{number}")
    height, width = truth["panoptic"].shape
    rng = np.random.default_rng(int(expected["rng_seed"]))
    drawn = {
        "semantic": rng.standard_normal((1, 19, height, width)),
        "center": rng.uniform(0, 1, (1, 1, height, width)),
        "offset": rng.standard_normal((1, 2, height, width)) * 20,
    }
    outputs = {name: paddle.to_tensor(value.astype(np.float32)) for name, value in drawn.items()}
    targets = {name: paddle.to_tensor(truth[name][None]) for name in TARGET_NAMES}
    losses = PanopticDeepLabLoss()(outputs, targets)
    assert list(losses) == ["semantic_loss", "center_loss", "offset_loss"]
    values = [float(value) for value in losses.values()]
    np.testing.assert_allclose(values, expected["losses"], rtol=1e-5)


@pytest.mark.parametrize("number", NUMBERS)
def test_grouping_and_fusion(number: int) -> None:
    expected = read(f"postprocess_{number}")
    centers = find_centers(expected["center_heatmap"])
    np.testing.assert_array_equal(centers, expected["centers"])
    things = np.isin(expected["semantic"], CITYSCAPES.thing_ids)
    instances = group_pixels(centers, expected["offset"], things)
    np.testing.assert_array_equal(instances, expected["instance"])
    for area in (64, 2048):
        panoptic = majority_vote(
            expected["semantic"], instances, thing_ids=CITYSCAPES.thing_ids, min_stuff_area=area
        )
        np.testing.assert_array_equal(panoptic, expected[f"panoptic_area{area}"])


@pytest.mark.parametrize("number", NUMBERS)
def test_ids_are_the_same_map_in_another_coding(number: int) -> None:
    expected = read(f"postprocess_{number}")
    settings = GroupingSettings(19, CITYSCAPES.thing_ids, min_stuff_area=64)
    ids, segments = plain.vote(expected["semantic"], expected["instance"], settings)
    pairs = set(
        zip(ids.ravel().tolist(), expected["panoptic_area64"].ravel().tolist(), strict=True)
    )
    assert len(pairs) == len({i for i, _ in pairs}) == len({p for _, p in pairs})
    categories = {0: 255} | {segment.id: segment.category for segment in segments}
    assert all(categories[i] == (p if p < 1000 else p // 1000) for i, p in pairs)
    areas = np.bincount(ids.ravel())
    assert [segment.area for segment in segments] == areas[1:].tolist()


@pytest.fixture(scope="module")
def reference_model(tmp_path_factory: pytest.TempPathFactory) -> paddle.nn.Layer:
    """The model of the reference's own configuration, with weights from a file of its kind."""
    model = Config(REFERENCE_CONFIG).model
    path = tmp_path_factory.mktemp("weights") / "model.pdparams"
    weights = {name: _weight(name, shape) for name, shape in _reference_entries().items()}
    path.write_bytes(pickle.dumps(weights, protocol=2))
    load_weights(model, path)
    model.eval()
    return model


def _reference_entries() -> dict[str, tuple[int, ...]]:
    lines = (PARITY / "state_keys_resnet50_os32.txt").read_text().split("\n")
    pairs = (line.split() for line in lines if line)
    return {name: tuple(map(int, shape.split(","))) for name, shape in pairs}


def _weight(name: str, shape: tuple[int, ...]) -> np.ndarray:
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    if name.endswith("._mean"):
        value = 0.05 * rng.standard_normal(shape)
    elif name.endswith("._variance"):
        value = rng.uniform(0.8, 1.2, shape)
    elif len(shape) == 4:
        value = rng.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))
    elif name.endswith(".bias"):
        value = 0.05 * rng.standard_normal(shape)
    else:
        value = rng.uniform(0.8, 1.2, shape)
    return value.astype(np.float32)


def test_state_dict_has_the_published_names(reference_model: paddle.nn.Layer) -> None:
    state = {name: tuple(value.shape) for name, value in reference_model.state_dict().items()}
    assert state == _reference_entries()
    assert sum(int(np.prod(shape)) for shape in state.values()) == 55_396_390


def test_network_outputs(reference_model: paddle.nn.Layer) -> None:
    expected = read("model_0")
    with paddle.no_grad():
        outputs = reference_model(paddle.to_tensor(expected["input"]))
    resized = resize_outputs(outputs, expected["input"].shape[2:])
    for name in ("semantic", "center", "offset"):
        scale = np.abs(expected[name]).max()
        np.testing.assert_allclose(
            resized[name].numpy(), expected[name], atol=1e-5 * scale, err_msg=name
        )


@pytest.mark.parametrize("height", [62, 64, 65])
def test_offsets_are_scaled_by_the_stride_at_any_height(
    reference_model: paddle.nn.Layer, height: int
) -> None:
    """The reference scales by height // rows, which is 3 at 62 = 4 * 15 + 2 rows of features."""
    images = paddle.rand([1, 3, height, 64])
    with paddle.no_grad():
        offset = reference_model(images)["offset"]
        raw = reference_model.head(reference_model.backbone(images))["offset"]
    np.testing.assert_array_equal(offset.numpy(), 4 * raw.numpy())
