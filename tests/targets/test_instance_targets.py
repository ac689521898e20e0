"""Targets of two-stage detectors, and batches of them."""

from __future__ import annotations

import numpy as np
import pytest

from panoptic_deeplab.engine.loading import collate
from panoptic_deeplab.structures import Segment
from panoptic_deeplab.targets import InstanceTargets

ROAD, PERSON, CAR = 0, 1, 2
TARGETS = InstanceTargets(thing_ids=(PERSON, CAR))

IDS = np.array(
    [
        [9, 9, 0, 0, 5],
        [9, 7, 7, 0, 5],
        [9, 7, 9, 9, 3],
    ],
    np.int32,
)
SEGMENTS = [
    Segment(9, ROAD),
    Segment(5, PERSON),
    Segment(7, CAR),
    Segment(8, CAR),  # was cropped away
    Segment(3, CAR, iscrowd=True),
]


def test_a_small_image() -> None:
    targets = TARGETS({"panoptic": IDS, "segments": SEGMENTS})
    assert targets["semantic"].tolist() == [
        [0, 0, 255, 255, 1],
        [0, 2, 2, 255, 1],
        [0, 2, 0, 0, 2],
    ]
    assert targets["instances"].tolist() == [
        [0, 0, 0, 0, 1],
        [0, 2, 2, 0, 1],
        [0, 2, 0, 0, 0],
    ]
    assert targets["boxes"].tolist() == [[4, 0, 5, 2], [1, 1, 3, 3]]
    assert targets["classes"].tolist() == [1, 2]
    assert targets["instances"].dtype == np.int32
    assert targets["boxes"].dtype == np.float32


@pytest.mark.parametrize(
    "segments", [[], [Segment(9, ROAD)], [Segment(5, PERSON, iscrowd=True), Segment(8, CAR)]]
)
def test_without_instances_there_is_one_empty_row(segments: list[Segment]) -> None:
    targets = TARGETS({"panoptic": IDS, "segments": segments})
    assert targets["boxes"].tolist() == [[0, 0, 0, 0]]
    assert targets["classes"].tolist() == [0]
    assert not targets["instances"].any()


def test_many_instances_of_a_pixel() -> None:
    """300 in a row: more than uint8 could number."""
    ids = np.arange(1, 301, dtype=np.int32).reshape(1, 300)
    targets = TARGETS({"panoptic": ids, "segments": [Segment(i, CAR) for i in range(1, 301)]})
    assert targets["instances"].tolist() == ids.tolist()
    x = np.arange(300)
    assert targets["boxes"].tolist() == np.stack([x, x * 0, x + 1, x * 0 + 1], 1).tolist()


def test_shorter_lists_of_a_batch_end_in_zeros() -> None:
    one = {"boxes": np.ones((1, 4), np.float32), "index": np.array(3)}
    three = {"boxes": np.full((3, 4), 2, np.float32), "index": np.array(4)}
    batch = collate([one, three])
    assert batch["boxes"][:, :, 0].tolist() == [[1, 0, 0], [2, 2, 2]]
    assert batch["boxes"].dtype == np.float32
    assert batch["index"].tolist() == [3, 4]
