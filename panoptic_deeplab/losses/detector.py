"""The losses of a two-stage detector: proposals, classes, boxes and masks."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import paddle
import paddle.nn.functional as F

from panoptic_deeplab.losses.across_ranks import weighted_mean

BoxError = Callable[[paddle.Tensor], paddle.Tensor]
"""Differences of offsets -> their cost, of the same shape."""

NEEDED_OUTPUTS = tuple(
    f"train.{name}"
    for name in ("rpn_logits", "rpn_offsets", "class_logits", "box_offsets", "mask_logits")
)


def detector_losses(
    train: Mapping[str, paddle.Tensor], rpn_error: BoxError, box_error: BoxError
) -> dict[str, paddle.Tensor]:
    """Return the losses of a detector as scalars.

    - `rpn_cls_loss`, `rpn_bbox_loss`: binary cross entropy, and error of the positives' offsets,
      over the number of all sampled anchors;
    - `cls_loss`, `bbox_loss`: cross entropy, and error of the positives' offsets, over the number
      of all sampled regions;
    - `mask_loss`: binary cross entropy of the true class's mask, averaged over the positives.

    A term without any target is 0, with every parameter still in the graph. Over several processes
    all means are those of the whole batch.

    Args:
        train: what `TwoStageDetector.training_outputs` returns.
        rpn_error: for the offsets of proposals.
        box_error: for the offsets of boxes.
    """
    anchors, regions = train["rpn_weights"], train["region_weights"]
    rpn_cls = F.binary_cross_entropy_with_logits(
        train["rpn_logits"], train["rpn_labels"], reduction="none"
    )
    rpn_bbox = rpn_error(train["rpn_offsets"] - train["rpn_offset_targets"]).sum(-1)
    cls = F.cross_entropy(train["class_logits"], train["class_labels"], reduction="none").flatten()
    bbox = box_error(train["box_offsets"] - train["box_offset_targets"]).sum(-1)
    mask = F.binary_cross_entropy_with_logits(
        train["mask_logits"], train["mask_targets"], reduction="none"
    ).mean([1, 2])
    return {
        "rpn_cls_loss": weighted_mean(rpn_cls, anchors),
        "rpn_bbox_loss": weighted_mean(rpn_bbox * train["rpn_labels"], anchors),
        "cls_loss": weighted_mean(cls, regions),
        "bbox_loss": weighted_mean(bbox * (train["class_labels"] > 0).astype("float32"), regions),
        "mask_loss": weighted_mean(mask, train["mask_weights"]),
    }


def smooth_l1(errors: paddle.Tensor, beta: float) -> paddle.Tensor:
    """error^2 / (2 beta) below `beta`, else |error| - beta / 2 (Girshick, ICCV 2015)."""
    size = errors.abs()
    return paddle.where(size < beta, errors * errors / (2 * beta), size - beta / 2)
