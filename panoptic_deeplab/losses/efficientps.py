"""The losses of EfficientPS (https://arxiv.org/abs/2004.02307, section 3.6)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import paddle

from panoptic_deeplab.errors import UsageError
from panoptic_deeplab.losses.detector import NEEDED_OUTPUTS, detector_losses, smooth_l1
from panoptic_deeplab.losses.worst_pixels import worst_pixels_loss
from panoptic_deeplab.registry import CRITERIA

RPN_BETA, BOX_BETA = 1 / 9, 1.0
"""Errors at which the losses of the offsets turn from squared to absolute."""


@CRITERIA.add_component
class EfficientPSLoss:
    """Semantics, proposals, classes, boxes and masks; their sum is the loss.

    - `semantic_loss`: cross entropy at the size of the input, 0 where ignored, averaged over the
      fraction `top_k_percent_pixels` of all pixels of the batch with the highest loss, ignored ones
      counted (the paper's weight 4 / (H W) on the worst quarter);
    - `detector_losses`, with smoothed absolute errors of offsets.

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

    needed_outputs = ("semantic", *NEEDED_OUTPUTS)
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
        self.weights = {
            "semantic_loss": semantic_weight,
            "rpn_cls_loss": rpn_cls_weight,
            "rpn_bbox_loss": rpn_bbox_weight,
            "cls_loss": cls_weight,
            "bbox_loss": bbox_weight,
            "mask_loss": mask_weight,
        }
        self.align_corners = align_corners

    def __call__(
        self, outputs: Mapping[str, Any], targets: Mapping[str, paddle.Tensor]
    ) -> dict[str, paddle.Tensor]:
        """Return the losses as scalars.

        Args:
            outputs: `semantic` [N, C, h, w] and `train`, as `EfficientPS` gives them.
            targets: `semantic` [N, H, W].
        """
        semantic = worst_pixels_loss(
            outputs["semantic"],
            targets["semantic"],
            self.top_k_percent_pixels,
            self.ignore_index,
            self.align_corners,
        )
        losses = {"semantic_loss": semantic}
        losses |= detector_losses(
            outputs["train"], partial(smooth_l1, beta=RPN_BETA), partial(smooth_l1, beta=BOX_BETA)
        )
        return {name: self.weights[name] * loss for name, loss in losses.items()}
