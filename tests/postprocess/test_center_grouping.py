"""From perfect outputs to the scene that they were made of."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

from panoptic_deeplab.postprocess import CenterGrouping
from panoptic_deeplab.structures import Frame, Segment
from panoptic_deeplab.targets import CenterOffsetTargets

ROAD, SKY, CAR, BUS = 0, 1, 2, 3
THINGS = (CAR, BUS)


def perfect_outputs(ids: np.ndarray, segments: list[Segment]) -> dict[str, paddle.Tensor]:
    """What a network that knows the truth would say: class logits, heat map and offsets."""
    sample = {"panoptic": ids, "segments": segments}
    targets = CenterOffsetTargets(THINGS, sigma=2)(sample)
    logits = 20 * np.eye(4, dtype=np.float32)[np.minimum(targets["semantic"], 3)]
    return {
        "semantic": paddle.to_tensor(logits.transpose(2, 0, 1)[None]),
        "center": paddle.to_tensor(targets["center"][None, None]),
        "offset": paddle.to_tensor(targets["offset"][None]),
    }


@pytest.fixture
def street() -> tuple[np.ndarray, list[Segment]]:
    """Sky over road, two touching cars and a bus, 24 x 40."""
    ids = np.full((24, 40), 1, np.int32)
    ids[10:] = 2
    ids[8:18, 2:12], ids[8:18, 12:22], ids[5:20, 25:38] = 3, 4, 5
    categories = {1: SKY, 2: ROAD, 3: CAR, 4: CAR, 5: BUS}
    areas = np.bincount(ids.ravel())
    return ids, [Segment(i, c, area=int(areas[i])) for i, c in categories.items()]


def grouping(**arguments: int) -> CenterGrouping:
    return CenterGrouping(4, THINGS, **({"min_stuff_area": 1, "nms_kernel": 3} | arguments))


def same_partition(first: np.ndarray, second: np.ndarray) -> bool:
    pairs = set(zip(first.ravel().tolist(), second.ravel().tolist(), strict=True))
    return len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})


def test_truth_to_targets_to_grouping_is_the_same_truth(
    street: tuple[np.ndarray, list[Segment]],
) -> None:
    ids, segments = street
    (prediction,) = grouping()(perfect_outputs(ids, segments), [Frame.whole(24, 40)])
    assert same_partition(prediction.ids, ids)
    assert sorted(s.category for s in prediction.segments) == [ROAD, SKY, CAR, CAR, BUS]
    assert all(0.999 < s.score <= 1 for s in prediction.segments)


def test_padding_takes_no_part(street: tuple[np.ndarray, list[Segment]]) -> None:
    """The padding is full of centers and cars; what is inside stays as it was."""
    ids, segments = street
    outputs = perfect_outputs(ids, segments)
    rng = np.random.default_rng(0)
    padded = {}
    for name, value in outputs.items():
        noise = 30 * rng.random((1, value.shape[1], 32, 50), np.float32)
        noise[..., :24, :40] = value.numpy()
        padded[name] = paddle.to_tensor(noise)
    frame = Frame((24, 40), (32, 50), (1.0, 1.0), (0, 0, 24, 40))
    (inside,) = grouping()(padded, [frame])
    (alone,) = grouping()(outputs, [Frame.whole(24, 40)])
    np.testing.assert_array_equal(inside.ids, alone.ids)
    assert inside.segments == alone.segments


def test_a_batch_equals_its_images_one_by_one(street: tuple[np.ndarray, list[Segment]]) -> None:
    ids, segments = street
    singles = [perfect_outputs(ids, segments), perfect_outputs(ids[:, ::-1].copy(), segments)]
    batch = {name: paddle.concat([single[name] for single in singles]) for name in singles[0]}
    frames = [Frame.whole(24, 40)] * 2
    together = grouping()(batch, frames)
    for prediction, single in zip(together, singles, strict=True):
        (alone,) = grouping()(single, frames[:1])
        np.testing.assert_array_equal(prediction.ids, alone.ids)
        assert prediction.segments == alone.segments


def test_predictions_come_in_original_pixels(street: tuple[np.ndarray, list[Segment]]) -> None:
    ids, segments = street
    frame = Frame((48, 80), (24, 40), (0.5, 0.5), (0, 0, 24, 40))
    (prediction,) = grouping()(perfect_outputs(ids, segments), [frame])
    assert prediction.ids.shape == prediction.labels.shape == (48, 80)
    assert same_partition(prediction.ids, ids.repeat(2, axis=0).repeat(2, axis=1))
    areas = np.bincount(prediction.ids.ravel())
    assert [s.area for s in prediction.segments] == areas[1:].tolist()
