"""Predictions of overlapping tiles joined to one: what two tiles see as one thing becomes one.

Stuff is joined by its class. Two things of one class are the same where they share more than half
of the smaller one's pixels in the overlap of their tiles, as in SAHI (https://arxiv.org/abs/
2202.06934); so a thing wider than the overlap, or than a tile, is joined piece by piece.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from panoptic_deeplab.structures import VOID_ID, Prediction, Segment
from panoptic_deeplab.tiles import Tile

_UNSEEN = -1
_ROWS = 64  # of a map, held at a time in wide numbers


def join_tiles(
    image: np.ndarray, tiles: Sequence[Tile], predict: Callable[[np.ndarray], Prediction]
) -> Prediction:
    """Predict an image tile by tile.

    Args:
        image: [H, W, 3] uint8 RGB.
        tiles: of it, in row-major order.
        predict: image of a tile -> its prediction, of the same size.
    """
    joined = _Joined(image.shape[:2])
    for tile in tiles:
        joined.add(predict(image[tile.window]), tile)
    return joined.prediction()


class _Joined:
    """The map so far: at each pixel 0 for void, else the number of a segment of some tile.

    Args:
        size: (height, width) of the image.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        self.numbers = np.full(size, _UNSEEN, np.int32)
        self.labels: np.ndarray | None = None
        self.segments = [Segment(VOID_ID, -1)]
        self.parents = [0]
        self.stuff: dict[int, int] = {}

    def add(self, prediction: Prediction, tile: Tile) -> None:
        """Add a tile, after those above it and to its left."""
        table = np.zeros(int(prediction.ids.max(initial=0)) + 1, np.int32)
        for segment in prediction.segments:
            if segment.id < len(table):
                table[segment.id] = self._number_of(segment)
        found = table[prediction.ids]
        self._match(self.numbers[tile.window], found)
        (top, left, bottom, right), own = tile.box, tile.own
        inner = slice(own[0] - top, None), slice(own[1] - left, None)
        outer = slice(own[0], bottom), slice(own[1], right)  # later tiles take what they own
        self.numbers[outer] = found[inner]
        if prediction.labels is not None:
            if self.labels is None:
                self.labels = np.zeros(self.numbers.shape, prediction.labels.dtype)
            self.labels[outer] = prediction.labels[inner]

    def _number_of(self, segment: Segment) -> int:
        """A number for a segment of a tile; stuff has the first of its class as parent."""
        number = len(self.segments)
        self.segments.append(segment)
        own = number if segment.is_thing else self.stuff.setdefault(segment.category, number)
        self.parents.append(own)
        return number

    def _match(self, before: np.ndarray, found: np.ndarray) -> None:
        """Make one what is the same in both maps [h, w]; `before` is not known everywhere."""
        seen, count = before != _UNSEEN, len(self.segments)
        pairs, together = np.unique(
            before[seen].astype(np.int64) * count + found[seen], return_counts=True
        )
        shared: Counter[tuple[int, int]] = Counter()
        areas: Counter[int] = Counter()
        for pair, pixels in zip(pairs.tolist(), together.tolist(), strict=True):
            number, new = divmod(pair, count)
            old = self._root(number)
            shared[old, new] += pixels
            areas[old] += pixels
            areas[new] += pixels
        for (old, new), pixels in shared.items():
            if self._may_be_same(old, new) and 2 * pixels > min(areas[old], areas[new]):
                self.parents[self._root(new)] = self._root(old)

    def _may_be_same(self, one: int, other: int) -> bool:
        first, second = self.segments[one], self.segments[other]
        return bool(first.is_thing and second.is_thing) and first.category == second.category

    def _root(self, number: int) -> int:
        while self.parents[number] != number:
            number = self.parents[number]
        return number

    def prediction(self) -> Prediction:
        """The joined prediction: things in the order of their first tile, then stuff by class."""
        roots = np.array([self._root(number) for number in range(len(self.segments))])
        pixels = sum(
            (np.bincount(rows.ravel(), minlength=len(roots)) for rows in self._in_rows()),
            np.zeros(len(roots), np.int64),
        )
        areas = np.bincount(roots, pixels, len(roots)).astype(np.int64)
        kept = [root for root in np.flatnonzero(areas).tolist() if root]
        kept.sort(key=lambda root: self._place(self.segments[root], root))
        ids = np.zeros(len(roots), np.int32)
        ids[kept] = np.arange(1, len(kept) + 1)
        table = ids[roots]
        for rows in self._in_rows():
            rows[:] = table[rows]
        scores = self._scores(roots, pixels)
        segments = [
            replace(self.segments[root], id=int(ids[root]), area=int(areas[root]), score=score)
            for root, score in zip(kept, (scores[root] for root in kept), strict=True)
        ]
        return Prediction(self.numbers, segments, self.labels)

    def _in_rows(self) -> Iterator[np.ndarray]:
        """Views of some rows of the map, one after the other."""
        for top in range(0, len(self.numbers), _ROWS):
            yield self.numbers[top : top + _ROWS]

    @staticmethod
    def _place(segment: Segment, root: int) -> tuple[bool, int]:
        return not segment.is_thing, root if segment.is_thing else segment.category

    def _scores(self, roots: np.ndarray, pixels: np.ndarray) -> list[float | None]:
        """By root, the mean score of its parts over their pixels; None if they have none."""
        known = np.array([segment.score is not None for segment in self.segments])
        scores = np.array([segment.score or 0.0 for segment in self.segments])
        total = np.bincount(roots, scores * pixels * known, len(roots))
        weight = np.bincount(roots, pixels * known, len(roots))
        return [float(t / w) if w else None for t, w in zip(total, weight, strict=True)]
