"""The losses of Panoptic FPN (https://arxiv.org/abs/1901.02446, section 3.2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import paddle
import paddle.nn.functional as F

from panoptic_deeplab.losses.across_ranks import weighted_mean
from panoptic_deeplab.losses.detector import NEEDED_OUTPUTS, detector_losses
from panoptic_deeplab.registry import CRITERIA
from panoptic_deeplab.resample import resize_map

IGNORED = -1
STRIDE = 4
"""Of the semantic logits."""


@CRITERIA.add_component
class PanopticFPNLoss:
    """Semantics of stuff and things as one, and `detector_losses` with absolute errors of offsets.

    `semantic_loss` is the cross entropy over the classes of stuff and, as one more, all things. Two
    forms are in use: mmdetection compares at the logits' size with every fourth row and column of
    the labels, and divides by the number of all pixels, those without a class included; detectron2
    upsamples the logits and divides by the number of pixels that have a class.

    Args:
        num_classes: semantic classes.
        thing_ids: class indices of the things.
        upsample: compare at the size of the labels.
        count_unlabeled: divide by the number of all pixels.
        semantic_weight: factor of the semantic loss.
        rpn_cls_weight: factor of its loss.
        rpn_bbox_weight: factor of its loss.
        cls_weight: factor of its loss.
        bbox_weight: factor of its loss.
        mask_weight: factor of its loss.
    """

    needed_outputs = ("semantic", *NEEDED_OUTPUTS)
    needed_targets = ("semantic",)

    def __init__(
        self,
        num_classes: int,
        thing_ids: Sequence[int],
        upsample: bool = False,
        count_unlabeled: bool = True,
        semantic_weight: float = 0.5,
        rpn_cls_weight: float = 1.0,
        rpn_bbox_weight: float = 1.0,
        cls_weight: float = 1.0,
        bbox_weight: float = 1.0,
        mask_weight: float = 1.0,
    ) -> None:
        is_stuff = ~np.isin(np.arange(num_classes), thing_ids)
        channels = np.where(is_stuff, np.cumsum(is_stuff) - 1, is_stuff.sum())
        self.channel_of = paddle.to_tensor(channels, "int64")
        self.upsample = upsample
        self.count_unlabeled = count_unlabeled
        self.weights = {
            "semantic_loss": semantic_weight,
            "rpn_cls_loss": rpn_cls_weight,
            "rpn_bbox_loss": rpn_bbox_weight,
            "cls_loss": cls_weight,
            "bbox_loss": bbox_weight,
            "mask_loss": mask_weight,
        }

    def __call__(
        self, outputs: Mapping[str, Any], targets: Mapping[str, paddle.Tensor]
    ) -> dict[str, paddle.Tensor]:
        """Return the losses as scalars.

        Args:
            outputs: `semantic` [N, stuff + 1, h, w] and `train`, as `PanopticFPN` gives them.
            targets: `semantic` [N, H, W] class indices; any other label has no loss.
        """
        semantic = self._semantic(outputs["semantic"], targets["semantic"])
        losses = {"semantic_loss": semantic}
        losses |= detector_losses(outputs["train"], paddle.abs, paddle.abs)
        return {name: self.weights[name] * loss for name, loss in losses.items()}

    def _semantic(self, logits: paddle.Tensor, labels: paddle.Tensor) -> paddle.Tensor:
        if self.upsample:
            logits = resize_map(logits, labels.shape[1:], align_corners=False)
        else:
            labels = labels[:, ::STRIDE, ::STRIDE]
        channels = self._channels(labels)
        errors = F.cross_entropy(
            logits, channels.unsqueeze(1), ignore_index=IGNORED, reduction="none", axis=1
        ).squeeze(1)
        counted = paddle.ones_like(errors)
        if not self.count_unlabeled:
            counted = (channels != IGNORED).astype(errors.dtype)
        return weighted_mean(errors, counted)

    def _channels(self, labels: paddle.Tensor) -> paddle.Tensor:
        """The channel of each label's logits, int64 of the same shape."""
        labels = labels.astype("int64")
        classes = len(self.channel_of)
        channels = self.channel_of[labels.clip(0, classes - 1)]
        return paddle.where((labels >= 0) & (labels < classes), channels, IGNORED)
