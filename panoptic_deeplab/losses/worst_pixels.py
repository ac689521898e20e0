"""Semantic cross entropy of the worst pixels (Bulo et al., https://arxiv.org/abs/1704.02157)."""

from __future__ import annotations

import math

import paddle
import paddle.nn.functional as F

from panoptic_deeplab.losses.across_ranks import hardest_mean_of
from panoptic_deeplab.resample import Upsampled


def worst_pixels_loss(
    logits: paddle.Tensor,
    labels: paddle.Tensor,
    fraction: float,
    ignore_index: int,
    align_corners: bool,
) -> paddle.Tensor:
    """Mean cross entropy of the pixels with the highest loss, at the size of the labels.

    The backward pass upsamples only the logits of these pixels.

    Args:
        logits: [N, C, h, w].
        labels: [N, H, W] class indices.
        fraction: of all pixels of the batch, ignored ones counted, that is kept, 0..1.
        ignore_index: label without a loss.
        align_corners: as the model's own upsampling.
    """
    upsampled = Upsampled(logits, labels.shape[1:], align_corners)
    labels = labels.flatten()

    def losses_at(pixels: paddle.Tensor) -> paddle.Tensor:
        return F.cross_entropy(
            upsampled.at(pixels),
            labels.gather(pixels).astype("int64"),
            ignore_index=ignore_index,
            reduction="none",
        )

    return hardest_mean_of(losses_at, upsampled.count, fraction, math.ceil)
