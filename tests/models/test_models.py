"""One test for every model: forward, backward, and to a prediction, on a small image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import paddle
import pytest
from paddleseg.models.backbones import HRNet_W18

from panoptic_deeplab.config import Config
from panoptic_deeplab.engine import large_maps
from panoptic_deeplab.engine.large_maps import sparing_memory
from panoptic_deeplab.engine.loading import collate
from panoptic_deeplab.models.backbones import HRNetPyramid
from panoptic_deeplab.preprocess import valid_boxes
from panoptic_deeplab.registry import MODELS
from panoptic_deeplab.runtimes.program import network_of
from panoptic_deeplab.structures import Frame, Segment


def distinct_configs() -> dict[str, Path]:
    """One configuration of each network with its losses, by name; data sets do not matter here."""
    configs: dict[str, Path] = {}
    for path in sorted((Path(__file__).parents[2] / "configs" / "panoptic_deeplab").glob("*.yml")):
        tree = Config(path).tree
        configs.setdefault(str([tree["model"], tree["criterion"]]), path)
    return {path.stem: path for path in configs.values()}


WITH_BACKBONE = distinct_configs()
CONFIGS = WITH_BACKBONE | {
    path.stem: path for path in (Path(__file__).parents[2] / "configs").rglob("*_scenes.yml")
}
SIZE = (65, 97)
SMALL = (33, 65)


@pytest.fixture(scope="module", params=CONFIGS)
def config(request: pytest.FixtureRequest) -> Config:
    """Each configuration in turn; its network is built once."""
    paddle.seed(0)
    return Config(CONFIGS[request.param])


def batch_of_two(config: Config) -> tuple[dict[str, paddle.Tensor], list[Frame]]:
    """A thing on stuff, and an image without any instance; with the targets of the config."""
    rng = np.random.default_rng(0)
    thing, stuff = config.info.thing_ids[0], config.info.stuff_ids[0]
    ids = np.full(SIZE, 1, np.int32)
    ids[20:50, 30:60] = 2
    samples = []
    for panoptic, segments in (
        (ids, [Segment(1, stuff), Segment(2, thing)]),
        (np.minimum(ids, 1), [Segment(1, stuff)]),
    ):
        image = rng.integers(0, 256, (*SIZE, 3), np.uint8)
        sample = {"image": image, "panoptic": panoptic, "segments": segments}
        samples.append(config.targets(sample))
    arrays = [name for name, value in samples[0].items() if isinstance(value, np.ndarray)]
    stacked = collate([{name: sample[name] for name in arrays} for sample in samples])
    batch = {name: paddle.to_tensor(value) for name, value in stacked.items()}
    frames = [Frame.whole(*SIZE), Frame((30, 40), SIZE, valid_box=(0, 0, 30, 40))]
    return batch, frames


def test_forward_backward_and_prediction(config: Config) -> None:
    model = config.model
    batch, frames = batch_of_two(config)
    images = config.preprocess(batch["image"], valid_boxes(frames))

    model.train()
    losses = config.criterion(model(images, batch), batch)
    assert all(value.shape == [] and np.isfinite(float(value)) for value in losses.values())
    sum(losses.values()).backward()
    without = [n for n, p in model.named_parameters() if not p.stop_gradient and p.grad is None]
    assert not without, "every trainable parameter takes part"

    model.eval()
    with paddle.no_grad():
        predictions = config.postprocessor(model(images), frames)
    assert [p.ids.shape for p in predictions] == [frame.original_size for frame in frames]
    for prediction in predictions:
        areas = np.bincount(prediction.ids.ravel())
        assert [s.id for s in prediction.segments] == np.flatnonzero(areas[1:]).__add__(1).tolist()
        assert all(areas[s.id] == s.area for s in prediction.segments)
        assert all(0 <= s.score <= 1 for s in prediction.segments)
        assert all(
            config.info.categories[s.category].is_thing == s.is_thing for s in prediction.segments
        )


@pytest.mark.parametrize("config", WITH_BACKBONE, indirect=True)
def test_the_decoders_join_features_at_strides_16_8_and_4(config: Config) -> None:
    """33 x 65 halves to 17 x 33, 9 x 17, 5 x 9, 3 x 5 and 2 x 3."""
    model = config.model
    model.eval()
    with paddle.no_grad():
        features = model.backbone(paddle.rand([1, 3, *SMALL]))
    assert [feature.shape[1] for feature in features] == model.backbone.feat_channels
    sizes = [tuple(feature.shape[2:]) for feature in features]
    decoder = model.head.semantic_decoder
    joined = [sizes[i] for i in decoder.joined_indices]
    assert joined == [(3, 5), (5, 9), (9, 17)][-len(joined) :]
    assert sizes[decoder.deepest_index] == ((2, 3) if "_os32_" in config.path else (3, 5))


def test_hrnet_pyramid_is_paddlesegs_hrnet_before_its_branches_are_joined() -> None:
    pyramid, joined = HRNetPyramid(width=18), HRNet_W18()
    joined.set_state_dict(pyramid.state_dict())
    assert pyramid.state_dict().keys() == joined.state_dict().keys()
    images = paddle.rand([1, 3, 64, 64])
    pyramid.eval()
    joined.eval()
    with paddle.no_grad():
        (expected,) = joined(images)
        branches = pyramid(images)
    assert [branch.shape[1:] for branch in branches] == [
        [18, 16, 16],
        [36, 8, 8],
        [72, 4, 4],
        [144, 2, 2],
    ]
    np.testing.assert_array_equal(branches[0].numpy(), expected[:, :18].numpy())


@pytest.mark.parametrize("backbone", ["mobilenetv3_large", "mit_b2"])
def test_recompute_runs_the_backbone_twice_and_changes_nothing(backbone: str) -> None:
    """Dropout, stochastic depth and batch norm are where a second pass could differ."""
    (path,) = (path for name, path in CONFIGS.items() if backbone in name)
    models = [Config(path, [f"model.recompute={value}"]).model for value in ("no", "yes")]
    plain, again = models
    again.set_state_dict(plain.state_dict())
    images = paddle.rand([2, 3, *SMALL])
    assert [train_once(model, images) for model in models] == [1, 2]
    gradients = [
        {n: p.grad for n, p in m.named_parameters() if not p.stop_gradient} for m in models
    ]
    for name, gradient in gradients[0].items():
        np.testing.assert_array_equal(gradient.numpy(), gradients[1][name].numpy(), name)
    for name, value in plain.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), again.state_dict()[name].numpy(), name)


def train_once(model: paddle.nn.Layer, images: paddle.Tensor) -> int:
    """Leaves gradients and new running statistics; how often the backbone was run for them."""
    runs = []
    model.backbone.register_forward_pre_hook(lambda layer, inputs: runs.append(layer))
    paddle.seed(1)
    model.train()
    sum((value**2).mean() for value in model(images).values()).backward()
    return len(runs)


def test_every_registered_model_has_a_config() -> None:
    used = {Config(path).tree["model"]["type"] for path in CONFIGS.values()}
    assert used == set(MODELS.components_dict)


@pytest.mark.parametrize("size", [(32, 32), (33, 47), (64, 97), (1, 1)])
def test_any_image_size_works(size: tuple[int, int]) -> None:
    config = Config(CONFIGS["panoptic_deeplab_lite_scenes"])
    config.model.eval()
    with paddle.no_grad():
        outputs = config.model(paddle.rand([1, 3, *size]))
        (prediction,) = config.postprocessor(outputs, [Frame.whole(*size)])
    assert prediction.ids.shape == size


def test_a_batch_without_anything_to_learn_gives_zero_losses_in_the_graph() -> None:
    config = Config(CONFIGS["panoptic_deeplab_lite_scenes"])
    sample = config.targets({"panoptic": np.zeros(SIZE, np.int32), "segments": []})
    targets = {
        n: paddle.to_tensor(v[None]) for n, v in sample.items() if n not in ("panoptic", "segments")
    }
    losses = config.criterion(config.model(paddle.rand([1, 3, *SIZE])), targets)
    assert [float(value) for value in losses.values()] == [0, 0, 0]
    sum(losses.values()).backward()
    assert all(p.grad is not None for p in config.model.parameters() if not p.stop_gradient)


def test_in_little_memory_each_network_gives_the_same(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if the maps were too large; bands change the rounding of a convolution alone."""
    monkeypatch.setattr(large_maps, "_LARGE_MAP", 0)
    batch, frames = batch_of_two(config)
    images = config.preprocess(batch["image"], valid_boxes(frames))
    network = network_of(config.model)
    config.model.eval()
    with paddle.no_grad():
        expected = network(images)
        with sparing_memory(config.model):
            found = network(images)
    for name, value in expected.items():
        assert bool((found[name] == value).all()), name
