"""EfficientPS's postprocessor: from outputs to a panoptic map.

https://arxiv.org/abs/2004.02307, section 3.4: the logits of instances and semantics are fused and
compared at every pixel; see `panoptic_deeplab.fusion.adaptive`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from panoptic_deeplab.fusion.adaptive import MASK_FACTOR, AdaptiveRule, fuse
from panoptic_deeplab.fusion.instances import Instances
from panoptic_deeplab.postprocess.instance_fusion import InstanceFusion
from panoptic_deeplab.postprocess.original_pixels import in_original_pixels
from panoptic_deeplab.postprocess.sparse import Grid, with_scores
from panoptic_deeplab.postprocess.upsampled_maps import UpsampledMaps
from panoptic_deeplab.registry import POSTPROCESSORS
from panoptic_deeplab.structures import Frame, Prediction, smallest_label_type


@POSTPROCESSORS.add_component
class AdaptiveFusion(InstanceFusion):
    """Fuses the logits of instances and semantics.

    Args:
        num_classes: semantic classes.
        thing_ids: class indices of the things.
        min_stuff_area: a stuff class with fewer pixels (of no instance) becomes void.
        overlap_threshold: fraction of its mask that an instance may lose to higher-scoring ones.
        mask_factor: weight of mask logits; 4 in the released code, 1 in the paper.
        strict_reference: reproduce the released code, faults included; see `AdaptiveRule`.
        legacy_boxes: as the model's: a box ends at its last pixel, not where the next begins.
        view_nms_threshold: IoU above which two views show the same instance of a class.
        max_instances: maximum number in an image once its views are merged.
    """

    def __init__(
        self,
        num_classes: int,
        thing_ids: Sequence[int],
        min_stuff_area: int = 2048,
        overlap_threshold: float = 0.5,
        mask_factor: float = MASK_FACTOR,
        strict_reference: bool = False,
        legacy_boxes: bool = True,
        view_nms_threshold: float = 0.5,
        max_instances: int = 100,
    ) -> None:
        super().__init__(legacy_boxes, overlap_threshold, view_nms_threshold, max_instances)
        self.rule = AdaptiveRule(
            tuple(thing_ids), min_stuff_area, overlap_threshold, mask_factor, strict_reference
        )
        self.num_classes = num_classes
        self.label_type = smallest_label_type(num_classes)

    def _predict(self, logits: np.ndarray, instances: Instances, frame: Frame) -> Prediction:
        """One image: logits [C, h, w] at any stride."""
        grid = Grid.of(logits.shape[1:], frame.size, frame.valid_box, align_corners=False)
        maps = UpsampledMaps(logits, grid, self.label_type)
        top, left = frame.valid_box[:2]
        shifted = instances.boxes - np.array([left, top, left, top], np.float32)
        ids, fused = fuse(maps, replace(instances, boxes=shifted), self.rule)
        segments = [
            segment if segment.is_thing else scored
            for segment, scored in zip(fused, with_scores(ids, fused, logits, grid), strict=True)
        ]
        return in_original_pixels(Prediction(ids, segments, maps.labels), frame.original_size)

    def host_settings(self) -> dict[str, Any]:
        """The arguments that make another like it, in plain types."""
        return {
            "num_classes": self.num_classes,
            "thing_ids": [int(i) for i in self.rule.thing_ids],
            "min_stuff_area": self.rule.min_stuff_area,
            "overlap_threshold": self.rule.overlap_threshold,
            "mask_factor": self.rule.mask_factor,
            "strict_reference": self.rule.strict_reference,
            "legacy_boxes": self.legacy_boxes,
            "view_nms_threshold": self.view_nms_threshold,
            "max_instances": self.max_instances,
        }
