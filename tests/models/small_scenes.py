"""Samples of 64 x 96 pixels with targets, ordinary and extreme, for networks with two stages."""

from __future__ import annotations

import numpy as np

from panoptic_deeplab.structures import Segment
from panoptic_deeplab.targets import InstanceTargets

ROAD, SKY, PERSON, CAR = range(4)
THINGS = (PERSON, CAR)
TARGETS = InstanceTargets(THINGS)


def sample(ids: np.ndarray, segments: list[Segment]) -> dict[str, np.ndarray]:
    """Targets as arrays."""
    targets = TARGETS({"panoptic": ids, "segments": segments})
    return {n: v for n, v in targets.items() if isinstance(v, np.ndarray) and n != "panoptic"}


def plain(ids: np.ndarray | None = None, *segments: Segment) -> dict[str, np.ndarray]:
    """A road of 64 x 96 pixels with segments on it."""
    road = np.full((64, 96), 1, np.int32)
    return sample(
        road if ids is None else np.where(ids > 0, ids, road), [Segment(1, ROAD), *segments]
    )


def scene(*boxes: tuple[int, int, int, int]) -> np.ndarray:
    """[64, 96]: segment 2 in the first box (top, left, bottom, right), 3 in the second, ..."""
    ids = np.zeros((64, 96), np.int32)
    for i, (top, left, bottom, right) in enumerate(boxes, start=2):
        ids[top:bottom, left:right] = i
    return ids


CASES = {
    "no instance": [plain()],
    "crowd only": [plain(scene((10, 10, 40, 40)), Segment(2, CAR, iscrowd=True))],
    "one pixel": [plain(scene((63, 95, 64, 96)), Segment(2, PERSON))],
    "whole image": [plain(scene((0, 0, 64, 96)), Segment(2, CAR))],
    "void only": [sample(np.zeros((64, 96), np.int32), [])],
    "150 instances": [
        plain(
            scene(*((y, x, y + 4, x + 4) for y in range(0, 60, 6) for x in range(0, 90, 6))),
            *(Segment(i, CAR) for i in range(2, 152)),
        )
    ],
    "some and none": [
        plain(scene((10, 10, 40, 40), (5, 50, 60, 90)), Segment(2, CAR), Segment(3, PERSON)),
        plain(),
    ],
}
