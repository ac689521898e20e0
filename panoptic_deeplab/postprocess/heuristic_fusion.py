"""Panoptic FPN's postprocessor: from outputs to a panoptic map, fused in original pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import cv2
import numpy as np

from panoptic_deeplab.fusion.heuristic import HeuristicRule, heuristic_fusion
from panoptic_deeplab.fusion.instances import Instances
from panoptic_deeplab.postprocess.instance_fusion import InstanceFusion
from panoptic_deeplab.postprocess.sparse import Grid, with_scores
from panoptic_deeplab.postprocess.upsampled_maps import UpsampledMaps
from panoptic_deeplab.registry import POSTPROCESSORS
from panoptic_deeplab.structures import Frame, Prediction, Segment, smallest_label_type


@POSTPROCESSORS.add_component
class HeuristicFusion(InstanceFusion):
    """Instances one after the other by their scores, then stuff on the pixels that are left.

    `semantic` has a channel for each stuff class and, as the last, one for all things. Masks are
    pasted and semantics resized at the size of the original image.

    Args:
        num_classes: semantic classes.
        thing_ids: class indices of the things.
        min_stuff_area: a stuff class with fewer pixels (of no instance) becomes void.
        overlap_threshold: fraction of its mask that an instance may lose to higher-scoring ones.
        view_nms_threshold: IoU above which two views show the same instance of a class.
        max_instances: maximum number in an image once its views are merged.
    """

    def __init__(
        self,
        num_classes: int,
        thing_ids: Sequence[int],
        min_stuff_area: int = 4096,
        overlap_threshold: float = 0.5,
        view_nms_threshold: float = 0.5,
        max_instances: int = 100,
    ) -> None:
        super().__init__(False, overlap_threshold, view_nms_threshold, max_instances)
        self.num_classes, self.thing_ids = num_classes, tuple(thing_ids)
        stuff_ids = [i for i in range(num_classes) if i not in thing_ids]
        self.rule = HeuristicRule(stuff_ids, min_stuff_area, overlap_threshold)
        self.channel_of = {category: channel for channel, category in enumerate(stuff_ids)}
        self.label_type = smallest_label_type(len(stuff_ids))

    def _predict(self, logits: np.ndarray, instances: Instances, frame: Frame) -> Prediction:
        """One image: logits [stuff + 1, h, w] at any stride."""
        grid = Grid.of(logits.shape[1:], frame.size, frame.valid_box, align_corners=False)
        maps = UpsampledMaps(logits, grid, self.label_type)
        size = frame.original_size
        channels = maps.labels if grid.size == size else maps.resized_labels(size)
        placed = replace(instances, boxes=_in_original_pixels(instances.boxes, frame))
        ids, segments = heuristic_fusion(channels, placed, self.rule)
        return Prediction(ids, self._scored(ids, segments, logits, grid))

    def host_settings(self) -> dict[str, Any]:
        """The arguments that make another like it, in plain types."""
        return {
            "num_classes": self.num_classes,
            "thing_ids": [int(i) for i in self.thing_ids],
            "min_stuff_area": self.rule.min_stuff_area,
            "overlap_threshold": self.rule.overlap_threshold,
            "view_nms_threshold": self.view_nms_threshold,
            "max_instances": self.max_instances,
        }

    def _scored(
        self, ids: np.ndarray, segments: Sequence[Segment], logits: np.ndarray, grid: Grid
    ) -> list[Segment]:
        """Add the scores of the stuff."""
        seen = ids
        if grid.size != ids.shape:
            seen = cv2.resize(ids, grid.size[::-1], interpolation=cv2.INTER_NEAREST)
        areas = np.bincount(seen.ravel(), minlength=len(segments) + 1)
        things = len(self.channel_of)
        by_channel = [
            replace(s, category=self.channel_of.get(s.category, things), area=max(areas[s.id], 1))
            for s in segments
        ]
        scored = with_scores(seen, by_channel, logits, grid)
        return [
            segment if segment.is_thing else replace(segment, score=in_channel.score)
            for segment, in_channel in zip(segments, scored, strict=True)
        ]


def _in_original_pixels(boxes: np.ndarray, frame: Frame) -> np.ndarray:
    """Boxes [K, 4] (x0, y0, x1, y1) of the input in pixels of the original image."""
    top, left, bottom, right = frame.valid_box
    height, width = frame.original_size
    across, down = width / (right - left), height / (bottom - top)
    moved = boxes - np.array([left, top, left, top], np.float32)
    return moved * np.array([across, down, across, down], np.float32)
