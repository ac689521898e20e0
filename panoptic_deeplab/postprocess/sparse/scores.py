"""The score of each segment, computed at the network's stride."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from panoptic_deeplab.postprocess.sparse.blocks import blocks
from panoptic_deeplab.postprocess.sparse.grid import Grid
from panoptic_deeplab.structures import Segment

_PIXELS = 1 << 15  # in a block


def with_scores(
    ids: np.ndarray, segments: Sequence[Segment], logits: np.ndarray, grid: Grid
) -> list[Segment]:
    """Add scores to segments: the mean probability of their class over their pixels.

    Each pixel takes the probability at the feature-map location that it lies in, without
    upsampling; NaN counts as 0. All pixels of a location are counted as if they had the id of the
    first, then pixels with another id are corrected.

    Args:
        ids: [H, W] of the box, 0 or the id of a segment, which are 1..N in order.
        segments: of `ids`.
        logits: [C, h, w].
        grid: the box over the feature map.
    """
    rows, columns = (
        (np.arange(start, stop) * coarse) // full
        for start, stop, coarse, full in zip(
            grid.box[:2], grid.box[2:], grid.coarse_size, grid.full_size, strict=True
        )
    )
    (tops, bands), (lefts, strips) = (_first_of_each(places) for places in (rows, columns))
    first = ids[np.ix_(tops, lefts)]
    areas = np.outer(np.diff(tops, append=len(rows)), np.diff(lefts, append=len(columns)))
    differs = np.flatnonzero(ids != first.take(strips, axis=1).take(bands, axis=0))
    y, x = np.divmod(differs, ids.shape[1])
    own, counted = ids.take(differs), first[bands.take(y), strips.take(x)]
    softmax, categories = _Softmax(logits), np.array([0, *(s.category for s in segments)])
    width = grid.coarse_size[1]
    locations = (rows[tops, None] * width + columns[lefts]).ravel()
    places = rows[y] * width + columns[x]
    sums = np.zeros(len(segments) + 1)
    for who, where, weight in (
        (first.ravel(), locations, areas.ravel()),
        (own, places, 1),
        (counted, places, -1),
    ):
        sums += np.bincount(who, weight * softmax.of(categories[who], where), len(sums))
    return [replace(s, score=float(sums[s.id] / s.area)) for s in segments]


def _first_of_each(places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Start of each run of equal values in [N]; the number of the run that each of the N is in."""
    is_first = np.diff(places, prepend=-1) > 0
    return np.flatnonzero(is_first), np.cumsum(is_first) - 1


class _Softmax:
    """The softmax of logits [C, h, w], evaluated for one class at each of some locations."""

    def __init__(self, logits: np.ndarray) -> None:
        self.flat = logits.reshape(len(logits), -1)
        self.highest = np.empty(self.flat.shape[1], np.float32)
        self.total = np.empty(self.flat.shape[1], np.float32)
        for part in blocks(self.flat.shape[1], _PIXELS):
            values = self.flat[:, part]
            with np.errstate(invalid="ignore"):
                highest = values.max(axis=0, out=self.highest[part])
                raised = values - highest
                np.exp(raised, out=raised).sum(axis=0, out=self.total[part])

    def of(self, categories: np.ndarray, places: np.ndarray) -> np.ndarray:
        """[M] float32 probabilities at flat indices of [h, w]; 0 in place of NaN."""
        with np.errstate(invalid="ignore"):
            raised = self.flat.take(categories * self.flat.shape[1] + places)
            raised -= self.highest.take(places)
            np.exp(raised, out=raised)
            raised /= self.total.take(places)
        return np.nan_to_num(raised, copy=False)
