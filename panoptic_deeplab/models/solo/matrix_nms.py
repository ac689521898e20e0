"""Suppression of duplicates (https://arxiv.org/abs/2003.10152, section 3.4), no loop over masks."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import paddle
import paddle.nn.functional as F

from panoptic_deeplab.device import on_gpu

SIGMA = 2.0
"""Of the Gaussian."""

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
    masks: paddle.Tensor, labels: paddle.Tensor, scores: paddle.Tensor, decay: str = "gaussian"
) -> paddle.Tensor:
    """Lower the scores of masks that higher-scoring ones of their class cover.

    The score of mask j is multiplied by the smallest of f(iou_ij) / f(c_i) over all i with a higher
    score, where c_i is the largest IoU of mask i with one before it and f(x) is exp(-2 x^2)
    (`gaussian`) or 1 - x (`linear`).

    Args:
        masks: [K, L] bool, or 0 and 1, by descending score.
        labels: [K].
        scores: [K].
        decay: one of `DECAYS`, the function f.

    Returns:
        [K] the lowered scores.
    """
    shared = _shared_on_gpu(masks, labels) if on_gpu() else _shared_on_cpu(masks, labels)
    areas = shared.diagonal()
    union = areas.unsqueeze(0) + areas.unsqueeze(1) - shared
    iou = paddle.triu(shared / union.clip(min=1.0), 1)
    compensation = iou.max(0).unsqueeze(1)
    return scores * DECAYS[decay](iou, compensation).min(0)


def _gaussian_decay(iou: paddle.Tensor, compensation: paddle.Tensor) -> paddle.Tensor:
    return paddle.exp(-SIGMA * (iou**2 - compensation**2))


def _linear_decay(iou: paddle.Tensor, compensation: paddle.Tensor) -> paddle.Tensor:
    """A mask that equals one before it lowers none: that one does it already."""
    left = 1 - compensation
    return paddle.where(left > 0, (1 - iou) / left, paddle.ones_like(iou))


DECAYS: dict[str, Callable[[paddle.Tensor, paddle.Tensor], paddle.Tensor]] = {
    "gaussian": _gaussian_decay,
    "linear": _linear_decay,
}
"""From IoUs [K, K] and compensations [K, 1] to the factors [K, K] by which mask i lowers mask j."""


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
