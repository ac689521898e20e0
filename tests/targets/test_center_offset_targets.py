"""Panoptic-DeepLab's targets against a mask for each segment."""

from __future__ import annotations

import numpy as np
import pytest

from panoptic_deeplab.structures import Segment
from panoptic_deeplab.targets import CenterOffsetTargets
from panoptic_deeplab.targets.runs import segment_runs

ROAD, PERSON, CAR = 0, 1, 2


def test_runs_by_eye() -> None:
    runs = segment_runs(np.array([[7, 7, 0], [7, 5, 5]]), [Segment(5, CAR), Segment(7, ROAD)])
    assert runs.starts.tolist() == [0, 2, 3, 4]
    assert runs.lengths.tolist() == [2, 1, 1, 2]
    assert runs.slots.tolist() == [2, 0, 2, 1]
    assert runs.rows.tolist() == [0, 0, 1, 1]
    assert runs.columns.tolist() == [0, 2, 0, 1]
    assert runs.painted(np.array([9, 1, 4])).tolist() == [[4, 4, 9], [4, 1, 1]]


def segments_of(count: int) -> list[Segment]:
    """Things and stuff of all classes, some crowds; the third has no pixel, as if cropped away."""
    return [Segment(3000 if n == 3 else n, n % 3, iscrowd=n % 7 == 0) for n in range(1, count + 1)]


@pytest.mark.parametrize("ignore_stuff", [True, False])
@pytest.mark.parametrize("count", [0, 1, 12, 300])
def test_each_map_agrees_with_masks(count: int, ignore_stuff: bool) -> None:
    ids = np.random.default_rng(count).integers(0, count + 2, (9, 11)).repeat(4, 0).repeat(3, 1)
    segments = segments_of(count)
    targets = CenterOffsetTargets(
        (PERSON, CAR), small_instance_area=24, ignore_stuff_in_offset=ignore_stuff
    )({"panoptic": ids.astype(np.int32), "segments": segments})

    semantic, weights = np.full(ids.shape, 255), np.ones(ids.shape)
    counted, on_offset = np.zeros(ids.shape), np.zeros(ids.shape)
    offset = np.zeros((2, *ids.shape), np.float32)
    for segment in segments:
        mask, is_thing = ids == segment.id, segment.category in (PERSON, CAR)
        semantic[mask] = segment.category
        counted[mask] = not segment.iscrowd
        on_offset[mask] = not segment.iscrowd and (is_thing or not ignore_stuff)
        if is_thing and mask.any():
            weights[mask] = 3 if mask.sum() < 24 else 1
            for axis, places in enumerate(np.nonzero(mask)):
                offset[axis][mask] = np.float32(places.mean()) - places.astype(np.float32)
                assert targets["center"].max() == 1
    np.testing.assert_array_equal(targets["semantic"], semantic)
    np.testing.assert_array_equal(targets["semantic_weights"], weights)
    np.testing.assert_array_equal(targets["center_weights"], counted)
    np.testing.assert_array_equal(targets["offset_weights"], on_offset)
    np.testing.assert_array_equal(targets["offset"], offset)
    assert not np.signbit(targets["offset"][targets["offset"] == 0]).any()


@pytest.mark.parametrize(
    ("weight", "kind"), [(3, np.uint8), (3.0, np.uint8), (2.5, np.float32), (300, np.float32)]
)
def test_whole_weights_are_uint8(weight: float, kind: type) -> None:
    targets = CenterOffsetTargets((CAR,), small_instance_weight=weight)
    sample = {"panoptic": np.array([[1, 0]], np.int32), "segments": [Segment(1, CAR)]}
    weights = targets(sample)["semantic_weights"]
    assert weights.dtype == kind
    assert weights.tolist() == [[weight, 1]]
