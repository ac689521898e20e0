"""The postprocessor of EfficientPS with a SOLOv2 head: EfficientPS's fusion of other masks.

https://arxiv.org/abs/2004.02307, section 3.4, with SOLOv2's mask logits in place of the mask head's
and the box of each mask in place of the box head's; see `panoptic_deeplab.fusion.adaptive`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import paddle
import paddle.nn.functional as F

from panoptic_deeplab.errors import UsageError
from panoptic_deeplab.fusion.adaptive import AdaptiveRule, Placed, fuse_placed
from panoptic_deeplab.fusion.score_order import by_score
from panoptic_deeplab.postprocess.original_pixels import in_original_pixels
from panoptic_deeplab.postprocess.solo_outputs import (
    Outputs,
    SoloOutputs,
    by_image,
    inverted,
    likeliest_mask,
    merge_instances_of_views,
)
from panoptic_deeplab.postprocess.sparse import Grid, with_scores
from panoptic_deeplab.postprocess.upsampled_maps import UpsampledMaps
from panoptic_deeplab.registry import POSTPROCESSORS
from panoptic_deeplab.structures import Frame, Prediction, smallest_label_type
from panoptic_deeplab.views import View


@POSTPROCESSORS.add_component
class SoloFusion:
    """Fuses the logits of masks and semantics.

    Args:
        num_classes: semantic classes.
        thing_ids: class indices of the things.
        min_stuff_area: a stuff class with fewer pixels (of no instance) becomes void.
        overlap_threshold: fraction of its mask that an instance may lose to higher-scoring ones.
        mask_factor: weight of mask logits; 1 in the paper.
        score_threshold: score that an instance must reach, 0..1.
        view_overlap: IoU above which two views show the same instance of a class.
    """

    needed_outputs = ("semantic", "scores", "classes", "masks", "counts")

    def __init__(
        self,
        num_classes: int,
        thing_ids: Sequence[int],
        min_stuff_area: int = 2048,
        overlap_threshold: float = 0.5,
        mask_factor: float = 1.0,
        score_threshold: float = 0.3,
        view_overlap: float = 0.5,
    ) -> None:
        for name, value in (
            ("overlap_threshold", overlap_threshold),
            ("score_threshold", score_threshold),
            ("view_overlap", view_overlap),
        ):
            if not 0 <= value <= 1:
                raise UsageError(f"{name} must be in 0..1, got {value}")
        self.rule = AdaptiveRule(
            tuple(thing_ids), min_stuff_area, overlap_threshold, mask_factor, False
        )
        self.num_classes = num_classes
        self.label_type = smallest_label_type(num_classes)
        self.score_threshold = score_threshold
        self.view_overlap = view_overlap

    def __call__(self, outputs: Outputs, frames: Sequence[Frame]) -> list[Prediction]:
        """Predict in original pixels, one prediction an image; padding takes no part.

        Args:
            outputs: of the batch: `semantic` logits [N, C, h, w] and, of all images one after the
                other, `scores` [K], `classes` [K] class indices and `masks` [K, h, w] logits;
                `counts` [N] of these.
            frames: where each image lies in the network's input.
        """
        logits = outputs["semantic"].astype("float32").numpy()
        return [
            self._predict(*image, frame)
            for *image, frame in zip(logits, by_image(outputs), frames, strict=True)
        ]

    def _predict(self, logits: np.ndarray, instances: SoloOutputs, frame: Frame) -> Prediction:
        """One image: logits [C, h, w] at any stride."""
        grid = Grid.of(logits.shape[1:], frame.size, frame.valid_box, align_corners=False)
        maps = UpsampledMaps(logits, grid, self.label_type)
        order = by_score(instances.scores)
        order = order[instances.scores[order] >= self.score_threshold]
        scores, classes = instances.scores[order], instances.classes[order]
        placed = (
            _place(instances.masks[i], maps.plane(int(instances.classes[i])), grid) for i in order
        )
        ids, fused = fuse_placed(maps, scores, classes, placed, self.rule)
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
            "score_threshold": self.score_threshold,
            "view_overlap": self.view_overlap,
        }

    def merge_views(
        self, outputs: Sequence[Outputs], views: Sequence[View]
    ) -> dict[str, paddle.Tensor]:
        """Merge the outputs of several views of one image; maps have the input's size then.

        Semantic logits are averaged.

        Args:
            outputs: of each view.
            views: what inverts each of them.
        """
        semantic = [inverted(o["semantic"], v) for o, v in zip(outputs, views, strict=True)]
        instances = merge_instances_of_views(outputs, views, self.view_overlap)
        return {"semantic": sum(semantic[1:], semantic[0]) / len(views)} | instances

    def debug_images(self, outputs: Outputs) -> dict[str, np.ndarray]:
        """What to draw of the batch's first image, at the semantic logits' stride.

        Returns:
            `certainty` [h, w] float32, the probability of the most likely class, and `masks` [h, w]
            float32, the most likely mask's probability times its instance's score.
        """
        logits = outputs["semantic"][:1].astype("float32")
        return {
            "certainty": F.softmax(logits, axis=1).max(axis=1)[0].numpy(),
            "masks": likeliest_mask(outputs),
        }


def _place(mask: np.ndarray, semantic: np.ndarray, grid: Grid) -> Placed:
    """An instance in the box of its mask: mask logits [h, w] at the network's stride upsampled.

    One whose mask holds no pixel of the image has an empty window.
    """
    y, x = (np.flatnonzero((mask > 0).any(axis=axis)) for axis in (1, 0))
    if not len(y):
        nothing = slice(0, 0)
        return Placed((nothing, nothing), np.zeros((0, 0), np.float32), semantic[:0, :0])
    rows, columns = (
        slice(*np.searchsorted(axis.low, [places[0] - 1, places[-1] + 1]))
        for axis, places in ((grid.rows, y), (grid.columns, x))
    )
    logits = grid.upsampled_window(mask, rows, columns)
    return Placed((rows, columns), logits, semantic[rows, columns])
