"""Targets of two-stage detectors: semantic labels, and the instances with their boxes."""

from __future__ import annotations

from collections.abc import Container, Sequence

import numpy as np

from panoptic_deeplab.id_maps import measure_ids
from panoptic_deeplab.registry import TARGETS
from panoptic_deeplab.structures import PanopticMap, Sample, Segment
from panoptic_deeplab.targets.runs import SegmentRuns, segment_runs


@TARGETS.add_component
class InstanceTargets:
    """Add the training targets of a two-stage detector, such as EfficientPS, to a sample.

    From `panoptic` [H, W] and `segments` come

    - `semantic` [H, W]: class indices, `ignore_index` where void;
    - `instances` [H, W] int32: k + 1 on the pixels of instance k, 0 elsewhere;
    - `boxes` [M, 4] float32: the box (x1, y1, x2, y2) of each instance's pixels, x2 and y2
      exclusive;
    - `classes` [M] int64: 1 for the first of `thing_ids`, 2 for the second, ...

    Masks are cropped from `instances`, so that memory does not grow with their number. Instances
    are the things in the image that are not crowds; without any there is one row of zeros, like the
    rows that pad a batch.

    Args:
        thing_ids: class indices of the things.
        ignore_index: label of void.
    """

    target_names = ("semantic", "instances", "boxes", "classes")

    def __init__(self, thing_ids: Sequence[int], ignore_index: int = 255) -> None:
        self.class_of = {category: i for i, category in enumerate(thing_ids, start=1)}
        self.ignore_index = ignore_index

    def __call__(self, sample: Sample) -> Sample:
        ids, segments = sample["panoptic"], sample["segments"]
        things, found, runs = thing_runs(ids, segments, self.class_of)
        boxes = np.zeros((max(len(things), 1), 4), np.float32)
        classes = np.zeros(len(boxes), np.int64)
        boxes[: len(things)] = found
        classes[: len(things)] = [self.class_of[thing.category] for thing in things]
        return sample | {
            "semantic": PanopticMap(ids, segments).semantic(self.ignore_index),
            "instances": runs.spread(runs.slots.astype(np.int32)),
            "boxes": boxes,
            "classes": classes,
        }


def thing_runs(
    ids: np.ndarray, segments: Sequence[Segment], classes: Container[int]
) -> tuple[list[Segment], np.ndarray, SegmentRuns]:
    """Find the instances to learn from: segments of some classes in the map that are no crowds.

    Args:
        ids: [H, W] segment ids.
        segments: of the sample.
        classes: class indices of the things.

    Returns:
        the segments; their boxes [M, 4] float32 (x1, y1, x2, y2), end exclusive; the map's runs,
        whose slot k + 1 is the k-th of them.
    """
    measures = measure_ids(ids)
    box_of = dict(zip(measures.ids.tolist(), measures.boxes.tolist(), strict=True))
    things = [
        segment
        for segment in {segment.id: segment for segment in segments}.values()
        if segment.id in box_of and segment.category in classes and not segment.iscrowd
    ]
    boxes = np.array([box_of[thing.id] for thing in things], np.float32).reshape(-1, 4)
    return things, boxes[:, [1, 0, 3, 2]], segment_runs(ids, things)
