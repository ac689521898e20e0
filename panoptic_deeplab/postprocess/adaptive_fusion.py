"""EfficientPS's postprocessor: from outputs to a panoptic map.

https://arxiv.org/abs/2004.02307, section 3.4: the logits of instances and semantics are fused and
compared at every pixel; see `panoptic_deeplab.fusion.adaptive`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property

import cv2
import numpy as np
import paddle
import paddle.nn.functional as F

from panoptic_deeplab.errors import UsageError
from panoptic_deeplab.fusion.adaptive import (
    MASK_FACTOR,
    AdaptiveRule,
    Instances,
    fuse,
)
from panoptic_deeplab.fusion.pasting import paste, touched_pixels
from panoptic_deeplab.postprocess.merged_instances import merge_instances
from panoptic_deeplab.postprocess.original_pixels import in_original_pixels
from panoptic_deeplab.postprocess.sparse import Grid, upsampled_labels, with_scores
from panoptic_deeplab.registry import POSTPROCESSORS
from panoptic_deeplab.resample import resize_map
from panoptic_deeplab.structures import Frame, Prediction, smallest_label_type
from panoptic_deeplab.views import View

Outputs = Mapping[str, paddle.Tensor]

_STRIDE = 4
"""Of the semantic logits, for `debug_images`."""


@POSTPROCESSORS.add_component
class AdaptiveFusion:
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

    needed_outputs = ("semantic", "boxes", "scores", "classes", "masks", "counts")

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
        for name, value in (
            ("overlap_threshold", overlap_threshold),
            ("view_nms_threshold", view_nms_threshold),
        ):
            if not 0 <= value <= 1:
                raise UsageError(f"{name} must be in 0..1, got {value}")
        if max_instances < 1:
            raise UsageError(f"max_instances must be at least 1, got {max_instances}")
        self.rule = AdaptiveRule(
            tuple(thing_ids), min_stuff_area, overlap_threshold, mask_factor, strict_reference
        )
        self.label_type = smallest_label_type(num_classes)
        self.edge = 0.5 if legacy_boxes else -0.5
        self.view_nms_threshold = view_nms_threshold
        self.max_instances = max_instances

    def __call__(self, outputs: Outputs, frames: Sequence[Frame]) -> list[Prediction]:
        """Predict in original pixels, one prediction an image; padding takes no part.

        Args:
            outputs: of the batch: `semantic` logits [N, C, h, w] and, of all images one after the
                other, `boxes` [K, 4] (x0, y0, x1, y1) in pixels of the input, `scores` [K],
                `classes` [K] class indices and `masks` [K, m, m] logits; `counts` [N] of these.
            frames: where each image lies in the network's input.
        """
        logits = outputs["semantic"].astype("float32").numpy()
        return [
            self._predict(*image, frame)
            for *image, frame in zip(logits, _by_image(outputs), frames, strict=True)
        ]

    def merge_views(
        self, outputs: Sequence[Outputs], views: Sequence[View]
    ) -> dict[str, paddle.Tensor]:
        """Merge the outputs of several views of one image; `semantic` has the input's size then.

        Semantic logits are averaged, as the fusion compares logits. Instances that several views
        show at one place become one, with the box and the score of the highest-scoring and the
        mean of their masks.

        Args:
            outputs: of each view.
            views: what inverts each of them.
        """
        logits = [
            view.invert(resize_map(output["semantic"], view.size, align_corners=False))
            for output, view in zip(outputs, views, strict=True)
        ]
        seen = [
            self._inverted(instances, view)
            for output, view in zip(outputs, views, strict=True)
            for instances in _by_image(output)
        ]
        merged = merge_instances(seen, self.view_nms_threshold, self.max_instances)
        return {
            "semantic": sum(logits[1:], logits[0]) / len(views),
            "boxes": paddle.to_tensor(self._with_edges(merged.boxes, -1), "float32"),
            "scores": paddle.to_tensor(merged.scores, "float32"),
            "classes": paddle.to_tensor(merged.classes, "int64"),
            "masks": paddle.to_tensor(merged.masks, "float32"),
            "counts": paddle.to_tensor([len(merged.scores)], "int64"),
        }

    def debug_images(self, outputs: Outputs) -> dict[str, np.ndarray]:
        """What to draw of the batch's first image, at the semantic logits' stride.

        Returns:
            `certainty` [h, w] float32, the probability of the most likely class, and `masks` [h, w]
            float32, the most likely mask's probability times its instance's score.
        """
        logits = outputs["semantic"][:1].astype("float32")
        certainty = F.softmax(logits, axis=1).max(axis=1)[0].numpy()
        masks = np.zeros_like(certainty)
        instances = next(_by_image(outputs))
        for box, score, mask in zip(
            instances.boxes / _STRIDE, instances.scores, instances.masks, strict=True
        ):
            window = touched_pixels(box, masks.shape)
            shown = score / (1 + np.exp(-np.clip(paste(mask, box, window), -50, 50)))
            masks[window] = np.maximum(masks[window], shown)
        return {"certainty": certainty, "masks": masks}

    def _inverted(self, instances: Instances, view: View) -> Instances:
        """The instances of a view on the unscaled input, boxes being between points."""
        return replace(
            instances,
            boxes=view.invert_boxes(self._with_edges(instances.boxes, 1)),
            masks=instances.masks[:, :, ::-1] if view.mirrored else instances.masks,
        )

    def _with_edges(self, boxes: np.ndarray, sign: int) -> np.ndarray:
        """Boxes as their outer edges, pixel centers being whole numbers; sign -1 inverts that."""
        return boxes + np.float32(sign) * np.array([-0.5, -0.5, self.edge, self.edge], np.float32)

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


class UpsampledMaps:
    """Semantic logits at the network's stride; each map is upsampled when it is asked for.

    Args:
        logits: [C, h, w] float32.
        grid: the box over the feature map.
        label_type: of the class indices.
    """

    def __init__(self, logits: np.ndarray, grid: Grid, label_type: type) -> None:
        self.logits = logits
        self.grid = grid
        self.label_type = label_type
        self.num_classes = len(logits)
        self.size = grid.size

    @cached_property
    def labels(self) -> np.ndarray:
        """[H, W] class of the highest logit."""
        return upsampled_labels(self.logits, self.grid, self.label_type).painted()

    def plane(self, category: int) -> np.ndarray:
        """[H, W] float32 logits of one class.

        They are within 1e-6 of what `F.interpolate` gives, at a tenth of its time.
        """
        plane = self.logits[category]
        if not self.grid.is_identity:
            size = self.grid.full_size[::-1]
            plane = cv2.resize(plane, size, interpolation=cv2.INTER_LINEAR)
        return plane[self.grid.inside]


def _by_image(outputs: Outputs) -> Iterator[Instances]:
    """The instances of each image."""
    boxes, scores, masks = (
        outputs[name].astype("float32").numpy() for name in ("boxes", "scores", "masks")
    )
    everything = Instances(boxes, scores, outputs["classes"].numpy(), masks)
    ends = np.cumsum(outputs["counts"].numpy())
    for start, end in zip([0, *ends[:-1]], ends, strict=True):
        yield everything.only(np.arange(start, end))
