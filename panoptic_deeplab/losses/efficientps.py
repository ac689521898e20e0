"""The losses of EfficientPS (https://arxiv.org/abs/2004.02307, section 3.6)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import paddle
import paddle.nn.functional as F

from panoptic_deeplab.errors import UsageError
from panoptic_deeplab.losses.across_ranks import hardest_mean_of, weighted_mean
from panoptic_deeplab.registry import CRITERIA
from panoptic_deeplab.resample import Upsampled

RPN_BETA, BOX_BETA = 1 / 9, 1.0
"""Errors at which the losses of the offsets turn from squared to absolute."""


@CRITERIA.add_component
class EfficientPSLoss:
    """Semantics, proposals, classes, boxes and masks; their sum is the loss.

    - `semantic_loss`: cross entropy at the size of the input, 0 where ignored, averaged over the
      fraction `top_k_percent_pixels` of all pixels of the batch with the highest loss, ignored ones
      counted (the paper's weight 4 / (H W) on the worst quarter);
    - `rpn_cls_loss`, `rpn_bbox_loss`: binary cross entropy, and smoothed absolute error of the
      positives, over the number of all sampled anchors;
    - `cls_loss`, `bbox_loss`: cross entropy, and smoothed absolute error of the positives, over
      the number of all sampled regions;
    - `mask_loss`: binary cross entropy of the true class's mask, averaged over the positives.

    A term without any target is 0, with every parameter still in the graph. Over
    several processes all means are those of the whole batch.

    Args:
        ignore_index: semantic label without a loss.
        top_k_percent_pixels: fraction of the pixels kept, 0..1.
        semantic_weight: factor of the semantic loss; all factors are 1 in the released code.
        rpn_cls_weight: factor of its loss.
        rpn_bbox_weight: factor of its loss.
        cls_weight: factor of its loss.
        bbox_weight: factor of its loss.
        mask_weight: factor of its loss.
        align_corners: as the model's.
    """

    needed_outputs = (
        *("semantic", "train.rpn_logits", "train.rpn_offsets", "train.class_logits"),
        *("train.box_offsets", "train.mask_logits"),
    )
    needed_targets = ("semantic",)

    def __init__(
        self,
        ignore_index: int = 255,
        top_k_percent_pixels: float = 0.25,
        semantic_weight: float = 1.0,
        rpn_cls_weight: float = 1.0,
        rpn_bbox_weight: float = 1.0,
        cls_weight: float = 1.0,
        bbox_weight: float = 1.0,
        mask_weight: float = 1.0,
        align_corners: bool = False,
    ) -> None:
        if not 0 < top_k_percent_pixels <= 1:
            raise UsageError(f"top_k_percent_pixels must be in 0..1, got {top_k_percent_pixels}")
        self.ignore_index = ignore_index
        self.top_k_percent_pixels = top_k_percent_pixels
        self.semantic_weight = semantic_weight
        self.rpn_cls_weight = rpn_cls_weight
        self.rpn_bbox_weight = rpn_bbox_weight
        self.cls_weight = cls_weight
        self.bbox_weight = bbox_weight
        self.mask_weight = mask_weight
        self.align_corners = align_corners

    def __call__(
        self, outputs: Mapping[str, Any], targets: Mapping[str, paddle.Tensor]
    ) -> dict[str, paddle.Tensor]:
        """Return the losses as scalars.

        Args:
            outputs: `semantic` [N, C, h, w] and `train`, as `EfficientPS` gives them.
            targets: `semantic` [N, H, W].
        """
        train = outputs["train"]
        anchors, regions = train["rpn_weights"], train["region_weights"]
        return {
            "semantic_loss": self.semantic_weight
            * self._semantic(outputs["semantic"], targets["semantic"]),
            "rpn_cls_loss": self.rpn_cls_weight
            * weighted_mean(
                F.binary_cross_entropy_with_logits(
                    train["rpn_logits"], train["rpn_labels"], reduction="none"
                ),
                anchors,
            ),
            "rpn_bbox_loss": self.rpn_bbox_weight
            * weighted_mean(
                _box_errors(train, "rpn_offsets", RPN_BETA, train["rpn_labels"]), anchors
            ),
            "cls_loss": self.cls_weight
            * weighted_mean(
                F.cross_entropy(
                    train["class_logits"], train["class_labels"], reduction="none"
                ).flatten(),
                regions,
            ),
            "bbox_loss": self.bbox_weight
            * weighted_mean(
                _box_errors(train, "box_offsets", BOX_BETA, train["class_labels"] > 0), regions
            ),
            "mask_loss": self.mask_weight * _mask_loss(train),
        }

    def _semantic(self, logits: paddle.Tensor, labels: paddle.Tensor) -> paddle.Tensor:
        """Semantic loss; the backward pass upsamples only the logits of the hardest pixels."""
        upsampled = Upsampled(logits, labels.shape[1:], self.align_corners)
        labels = labels.flatten()

        def losses_at(pixels: paddle.Tensor) -> paddle.Tensor:
            return F.cross_entropy(
                upsampled.at(pixels),
                labels.gather(pixels).astype("int64"),
                ignore_index=self.ignore_index,
                reduction="none",
            )

        return hardest_mean_of(losses_at, upsampled.count, self.top_k_percent_pixels, math.ceil)


def smooth_l1(errors: paddle.Tensor, beta: float) -> paddle.Tensor:
    """error^2 / (2 beta) below `beta`, else |error| - beta / 2 (Girshick, ICCV 2015)."""
    size = errors.abs()
    return paddle.where(size < beta, errors * errors / (2 * beta), size - beta / 2)


def _box_errors(
    train: Mapping[str, paddle.Tensor], name: str, beta: float, is_positive: paddle.Tensor
) -> paddle.Tensor:
    """Offset error of each sample [S], 0 for the negatives."""
    target = train[f"{name.removesuffix('s')}_targets"]
    errors = smooth_l1(train[name] - target, beta).sum(-1)
    return errors * is_positive.astype("float32")


def _mask_loss(train: Mapping[str, paddle.Tensor]) -> paddle.Tensor:
    errors = F.binary_cross_entropy_with_logits(
        train["mask_logits"], train["mask_targets"], reduction="none"
    )
    return weighted_mean(errors.mean([1, 2]), train["mask_weights"])
