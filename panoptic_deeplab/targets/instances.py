"""A two-stage detector's targets: semantics, and the instances with their boxes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from panoptic_deeplab.registry import TARGETS
from panoptic_deeplab.structures import PanopticMap
from panoptic_deeplab.targets.runs import SegmentRuns, segment_runs, table_of

Sample = dict[str, Any]


@TARGETS.add_component
class InstanceTargets:
    """Adds the training targets of EfficientPS to a sample.

    From `panoptic` [H, W] and `segments` it makes

    - `semantic` [H, W]: class indices, `ignore_index` where void;
    - `instances` [H, W] int32: k + 1 on the pixels of instance k, 0 elsewhere;
    - `boxes` [M, 4] float32: the box (x1, y1, x2, y2) of each instance's pixels, x2 and y2 where
      the next pixel begins;
    - `classes` [M] int64: 1 for the first of `thing_ids`, 2 for the second, ...

    Masks are cut from `instances`, so that memory does not grow with their number. Instances are
    the things in the picture that are no crowds; without any there is one row of zeros, as in the
    rows that fill up a batch.

    Args:
        thing_ids: class indices of the things.
        ignore_index: label of void.
    """

    target_names = ("semantic", "instances", "boxes", "classes")

    def __init__(self, thing_ids: Sequence[int], ignore_index: int = 255) -> None:
        self.class_of = {category: i for i, category in enumerate(thing_ids, start=1)}
        self.ignore_index = ignore_index

    def __call__(self, sample: Sample) -> Sample:
        ids = sample["panoptic"]
        segments = list({s.id: s for s in sample["segments"]}.values())
        things = [s for s in segments if s.category in self.class_of and not s.iscrowd]
        runs = segment_runs(ids, things)
        seen = np.flatnonzero(np.bincount(runs.slots)[1:]) + 1
        boxes = np.zeros((max(len(seen), 1), 4), np.float32)
        classes = np.zeros(len(boxes), np.int64)
        if len(seen):
            boxes[:] = _boxes(runs, len(things))[seen]
            classes[:] = table_of([self.class_of[s.category] for s in things], 0, np.int64)[seen]
        consecutive = np.zeros(len(things) + 1, np.int32)
        consecutive[seen] = np.arange(1, len(seen) + 1)
        return sample | {
            "semantic": PanopticMap(ids, segments).semantic(self.ignore_index),
            "instances": runs.painted(consecutive),
            "boxes": boxes,
            "classes": classes,
        }


def _boxes(runs: SegmentRuns, count: int) -> np.ndarray:
    """[count + 1, 4] (x1, y1, x2, y2) around the pixels of each slot that has any."""
    boxes = np.zeros((count + 1, 4), np.int64)
    owner = runs.slots
    boxes[:, 0] = runs.size[1]
    np.minimum.at(boxes[:, 0], owner, runs.columns)
    np.maximum.at(boxes[:, 2], owner, runs.columns + runs.lengths)
    boxes[owner[::-1], 1] = runs.rows[::-1]  # of several the last is kept: the first in the map
    boxes[owner, 3] = runs.rows + 1
    return boxes
