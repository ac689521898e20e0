"""Tiles of an image that is too large for the network at once: where they lie and what each owns.

Neighbors overlap, so that the network sees on around what a tile owns. The owned parts, cut in the
middle of the overlaps, cover the image once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from panoptic_deeplab.errors import UsageError

Box = tuple[int, int, int, int]

DEFAULT_OVERLAP = 128
SMALLEST_TILE = 64
COARSEST_STRIDE = 32
"""Tiles whose outputs are stitched start at multiples of this, as outputs' strides divide it."""


@dataclass(frozen=True)
class Tile:
    """A part of an image that the network sees at once.

    Attributes:
        box: (top, left, bottom, right), end exclusive.
        own: likewise, the part of it whose prediction counts.
    """

    box: Box
    own: Box

    @property
    def window(self) -> tuple[slice, slice]:
        """The box as an index of the image."""
        top, left, bottom, right = self.box
        return slice(top, bottom), slice(left, right)


@dataclass(frozen=True)
class Tiling:
    """How images are cut into tiles.

    Attributes:
        size: (height, width) of a tile in pixels of the network's input.
        overlap: pixels that neighbors share at least.

    Raises:
        UsageError: a side or the overlap is too small or too large.
    """

    size: tuple[int, int]
    overlap: int = DEFAULT_OVERLAP

    def __post_init__(self) -> None:
        if min(self.size) < SMALLEST_TILE:
            raise UsageError(
                f"a tile needs sides of at least {SMALLEST_TILE} pixels, got "
                f"{self.size[1]} x {self.size[0]} (width x height)"
            )
        largest = min(self.size) - COARSEST_STRIDE
        if not 0 <= self.overlap <= largest:
            raise UsageError(
                f"tiles of {self.size[1]} x {self.size[0]} pixels (width x height) can overlap by "
                f"0..{largest} pixels, got {self.overlap}"
            )

    def tiles(self, size: tuple[int, int], step: int = 1) -> list[Tile]:
        """The tiles of an image, in row-major order.

        Args:
            size: (height, width) of the image.
            step: tiles start at multiples of this.
        """
        rows, columns = (
            spans(length, side, self.overlap, step)
            for length, side in zip(size, self.size, strict=True)
        )
        return [
            Tile((y.start, x.start, y.stop, x.stop), (y.own, x.own, y.own_stop, x.own_stop))
            for y, x in product(rows, columns)
        ]


@dataclass(frozen=True)
class Span:
    """A tile along one axis: what it sees, start..stop, and what it owns, own..own_stop."""

    start: int
    stop: int
    own: int
    own_stop: int


def spans(length: int, side: int, overlap: int, step: int = 1) -> Sequence[Span]:
    """Cut 0..length into spans of at most `side` that overlap by at least `overlap`.

    >>> [(s.start, s.stop, s.own, s.own_stop) for s in spans(100, 50, 10)]
    [(0, 50, 0, 45), (40, 90, 45, 70), (50, 100, 70, 100)]
    """
    pace = (side - overlap) // step * step
    last = -(-max(length - side, 0) // step) * step
    starts = [*range(0, last, pace), last]
    stops = [min(start + side, length) for start in starts]
    cuts = [(start + stop) // 2 for start, stop in zip(starts[1:], stops[:-1], strict=True)]
    return [Span(*parts) for parts in zip(starts, stops, [0, *cuts], [*cuts, length], strict=True)]
