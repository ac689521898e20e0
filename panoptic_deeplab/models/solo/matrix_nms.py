"""Suppression of duplicates (https://arxiv.org/abs/2003.10152, section 3.4), no loop over masks."""

from __future__ import annotations

import paddle
import paddle.nn.functional as F

SIGMA = 2.0


def points_nms(scores: paddle.Tensor) -> paddle.Tensor:
    """Set scores [N, T, S, S] to 0 that are not the highest of their cell and the ones before it.

    These are the neighbors above, to the left and above to the left; equal scores all stay.
    """
    highest = F.max_pool2d(scores, 2, stride=1, padding=1)[:, :, :-1, :-1]
    return scores * (highest == scores).astype(scores.dtype)


def matrix_nms(
    masks: paddle.Tensor, labels: paddle.Tensor, scores: paddle.Tensor, sigma: float = SIGMA
) -> paddle.Tensor:
    """Lower the scores of masks that higher-scoring ones of their class cover.

    The score of mask j is multiplied by the smallest of f(iou_ij) / f(c_i) over all i with a higher
    score, where f(x) = exp(-sigma x^2) and c_i is the largest IoU of mask i with one before it.

    Args:
        masks: [K, L] of 0 and 1 in float32, by descending score.
        labels: [K].
        scores: [K].
        sigma: of the Gaussian.

    Returns:
        [K] the lowered scores.
    """
    overlap = masks @ masks.t()
    areas = masks.sum(1)
    union = areas.unsqueeze(0) + areas.unsqueeze(1) - overlap
    same = (labels.unsqueeze(0) == labels.unsqueeze(1)).astype("float32")
    iou = paddle.triu(overlap / union.clip(min=1.0) * same, 1)
    compensation = iou.max(0).unsqueeze(1)
    decay = paddle.exp(-sigma * (iou**2 - compensation**2)).min(0)
    return scores * decay
