"""Suppression of duplicates (https://arxiv.org/abs/2003.10152, section 3.4), no loop over masks."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import paddle
import paddle.nn.functional as F

from panoptic_deeplab.device import on_gpu

SIGMA = 2.0

_PART = 1024
"""Locations of masks that are multiplied at once on a CPU: fewer masks have some in a small part,
and the parts become more.
"""


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
        masks: [K, L] bool, or 0 and 1, by descending score.
        labels: [K].
        scores: [K].
        sigma: of the Gaussian.

    Returns:
        [K] the lowered scores.
    """
    shared = _shared_on_gpu(masks, labels) if on_gpu() else _shared_on_cpu(masks, labels)
    areas = shared.diagonal()
    union = areas.unsqueeze(0) + areas.unsqueeze(1) - shared
    iou = paddle.triu(shared / union.clip(min=1.0), 1)
    compensation = iou.max(0).unsqueeze(1)
    decay = paddle.exp(-sigma * (iou**2 - compensation**2)).min(0)
    return scores * decay


def _shared_on_gpu(masks: paddle.Tensor, labels: paddle.Tensor) -> paddle.Tensor:
    """[K, K] float32: locations that two masks of one class share, 0 for masks of two classes."""
    masks = masks.astype("float32")
    same = labels.unsqueeze(0) == labels.unsqueeze(1)
    return masks @ masks.t() * same.astype("float32")


def _shared_on_cpu(masks: paddle.Tensor, labels: paddle.Tensor) -> paddle.Tensor:
    """As `_shared_on_gpu`, by products of the masks of a class that have some location in a part.

    All counts are whole numbers below 2^24, so that no order of adding rounds them.
    """
    values = np.from_dlpack(masks).astype(bool, copy=False)  # `numpy()` would copy all of it
    shared = np.zeros((len(values), len(values)), np.float32)
    for members, part in _meetings(values, labels.numpy()):
        rows = values[members, part].astype(np.float32)
        shared[np.ix_(members, members)] += rows @ rows.T
    return paddle.to_tensor(shared)


def _meetings(masks: np.ndarray, labels: np.ndarray) -> Iterator[tuple[np.ndarray, slice]]:
    """Yield the masks of one class that have locations in a part of all locations, and the part."""
    starts = np.arange(0, masks.shape[1], _PART)
    is_there = np.logical_or.reduceat(masks, starts, axis=1)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        for start, here in zip(starts.tolist(), is_there[members].T, strict=True):
            if here.any():
                yield members[here], slice(start, start + _PART)
