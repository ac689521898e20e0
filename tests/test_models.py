"""One test for every model: forward, backward, and to a prediction, on a small image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import paddle
import pytest

from panoptic_deeplab.config import Config
from panoptic_deeplab.preprocess import valid_boxes
from panoptic_deeplab.registry import MODELS
from panoptic_deeplab.structures import Frame, Segment

CONFIGS = {
    path.stem: path
    for path in sorted((Path(__file__).parents[1] / "configs").rglob("*.yml"))
    if path.parent.name != "_base_"
}
SIZE = (65, 97)


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
    batch = {name: paddle.to_tensor(np.stack([s[name] for s in samples])) for name in arrays}
    frames = [Frame.whole(*SIZE), Frame((30, 40), SIZE, valid_box=(0, 0, 30, 40))]
    return batch, frames


@pytest.mark.parametrize("name", CONFIGS)
def test_forward_backward_and_prediction(name: str) -> None:
    paddle.seed(0)
    config = Config(CONFIGS[name])
    model, batch_frames = config.model, batch_of_two(config)
    batch, frames = batch_frames
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
