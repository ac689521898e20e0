"""Candidate boxes matched to the ground truth (Ren et al., NeurIPS 2015, section 3.1.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import paddle

from panoptic_deeplab.device import on_gpu
from panoptic_deeplab.models.roi.boxes import pairwise_iou

POSITIVE, NEGATIVE, IGNORED = 1, 0, -1

PAIRS_AT_ONCE, PAIRS_AT_ONCE_ON_GPU = 1 << 20, 1 << 24
"""Overlaps held at a time, so that memory does not grow with the number of instances."""


class Match(NamedTuple):
    """What each of A candidates learns.

    Attributes:
        labels: [A] int64, POSITIVE, NEGATIVE or IGNORED.
        truth: [A] int64, the row of the ground truth that a positive candidate learns to find.
    """

    labels: paddle.Tensor
    truth: paddle.Tensor


@dataclass(frozen=True)
class Matcher:
    """Labels candidates by their largest overlap with the ground truth.

    Attributes:
        positive: IoU at or above which a candidate is positive.
        negative: IoU below which it is negative; between the two it is ignored.
        min_best: IoU at or above which the best candidates of a true box are positive, whatever
            their label would be; a candidate that is the best of several learns the last of them.
    """

    positive: float
    negative: float
    min_best: float

    @paddle.no_grad()
    def __call__(
        self,
        candidates: paddle.Tensor,
        truth: paddle.Tensor,
        is_truth: paddle.Tensor,
        is_candidate: paddle.Tensor | None = None,
    ) -> Match:
        """Match candidates [A, 4] to the ground truth [M, 4].

        Args:
            candidates: boxes.
            truth: boxes, at least one.
            is_truth: [M] bool, False for padding.
            is_candidate: [A] bool, False for candidates that are ignored; None for none of them.
        """
        count = candidates.shape[0]
        best, found = paddle.zeros([count]), paddle.zeros([count], "int64")
        forced = paddle.full([count], -1, "int64")
        at_once = PAIRS_AT_ONCE_ON_GPU if on_gpu() else PAIRS_AT_ONCE
        block = max(1, at_once // max(count, 1))
        for start in range(0, truth.shape[0], block):
            rows = slice(start, start + block)
            overlaps = pairwise_iou(truth[rows], candidates) * is_truth[rows, None].astype(
                "float32"
            )
            if is_candidate is not None:
                overlaps = overlaps * is_candidate.astype("float32")
            highest, row = overlaps.max(0), overlaps.argmax(0) + start
            found = paddle.where(highest > best, row, found)
            best = paddle.maximum(best, highest)
            forced = paddle.maximum(forced, self._forced(overlaps, start))
        labels = paddle.full([count], IGNORED, "int64")
        labels = paddle.where(best < self.negative, NEGATIVE, labels)
        labels = paddle.where((best >= self.positive) | (forced >= 0), POSITIVE, labels)
        if is_candidate is not None:
            labels = paddle.where(is_candidate, labels, IGNORED)
        return Match(labels, paddle.where(forced >= 0, forced, found))

    def _forced(self, overlaps: paddle.Tensor, start: int) -> paddle.Tensor:
        """[A] the last row of this block [B, A] whose best candidate each candidate is, else -1."""
        highest = overlaps.max(1, keepdim=True)
        is_best = (overlaps == highest) & (highest >= self.min_best)
        rows = paddle.arange(start, start + overlaps.shape[0]).unsqueeze(1)
        return paddle.where(is_best, rows, -1).max(0)
