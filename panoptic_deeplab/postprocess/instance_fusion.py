"""What the postprocessors of two-stage networks have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import paddle
import paddle.nn.functional as F

from panoptic_deeplab.errors import UsageError
from panoptic_deeplab.fusion.instances import Instances
from panoptic_deeplab.fusion.pasting import paste, touched_pixels
from panoptic_deeplab.postprocess.merged_instances import merge_instances
from panoptic_deeplab.resample import resize_map
from panoptic_deeplab.structures import Frame, Prediction
from panoptic_deeplab.views import View

Outputs = Mapping[str, paddle.Tensor]

_STRIDE = 4
"""Of the semantic logits, for `debug_images`."""


class InstanceFusion(ABC):
    """Splits a batch of instances by image, merges views, and draws what a network says.

    Args:
        legacy_boxes: as the model's: a box ends at its last pixel, not where the next begins.
        overlap_threshold: fraction of its mask that an instance may lose to higher-scoring ones.
        view_nms_threshold: IoU above which two views show the same instance of a class.
        max_instances: maximum number in an image once its views are merged.
    """

    needed_outputs = ("semantic", "boxes", "scores", "classes", "masks", "counts")

    def __init__(
        self,
        legacy_boxes: bool,
        overlap_threshold: float,
        view_nms_threshold: float,
        max_instances: int,
    ) -> None:
        for name, value in (
            ("overlap_threshold", overlap_threshold),
            ("view_nms_threshold", view_nms_threshold),
        ):
            if not 0 <= value <= 1:
                raise UsageError(f"{name} must be in 0..1, got {value}")
        if max_instances < 1:
            raise UsageError(f"max_instances must be at least 1, got {max_instances}")
        self.legacy_boxes = legacy_boxes
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

    @abstractmethod
    def _predict(self, logits: np.ndarray, instances: Instances, frame: Frame) -> Prediction:
        """One image: logits [C, h, w] at any stride."""

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


def _by_image(outputs: Outputs) -> Iterator[Instances]:
    """The instances of each image."""
    boxes, scores, masks = (
        outputs[name].astype("float32").numpy() for name in ("boxes", "scores", "masks")
    )
    everything = Instances(boxes, scores, outputs["classes"].numpy(), masks)
    ends = np.cumsum(outputs["counts"].numpy())
    for start, end in zip([0, *ends[:-1]], ends, strict=True):
        yield everything.only(np.arange(start, end))
