"""Paddle's bilinear upsampling of chosen pixels only, equal to the last bit.

Every pixel of the full-size map lies between four feature-map locations. All pixels between the
same four form a cell, indexed by its upper left corner; the sparse steps decide cell by cell.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

import numpy as np

from panoptic_deeplab.postprocess.sparse.blocks import blocks

_PIXELS = 1 << 16  # in a block


@dataclass(frozen=True)
class Axis:
    """Where the rows (or columns) of a full-size map lie between those of the feature map.

    Attributes:
        low: [N] int64, the row before.
        high: [N] int64, the row after, the same at the end.
        low_weight: [N] float32.
        high_weight: [N] float32.
        positions: [h] float64, where the feature rows lie among these N.
    """

    low: np.ndarray
    high: np.ndarray
    low_weight: np.ndarray
    high_weight: np.ndarray
    positions: np.ndarray

    @classmethod
    def of(cls, sources: _Sources, positions: np.ndarray, part: slice) -> Axis:
        """The axis of `part` of the full-size rows."""
        last = len(positions) - 1
        low = np.minimum(sources.low[part].astype(np.int64), last)
        high_weight = np.maximum(sources.place[part], np.float32(0)) - low.astype(np.float32)
        high = np.minimum(low + 1, last)
        return cls(low, high, 1 - high_weight, high_weight, positions - part.start)

    @property
    def counts(self) -> np.ndarray:
        """[h] int64, how many of the N lie from each feature row up to the next."""
        return np.bincount(self.low, minlength=len(self.positions))


class _Sources(NamedTuple):
    """Where each full-size row lies among the feature rows, as Paddle computes it.

    Attributes:
        low: [full], the integer part is the row before.
        place: [full] float32, which gives the weights.
    """

    low: np.ndarray
    place: np.ndarray


def _aligned_sources(coarse: int, full: int) -> _Sources:
    """Aligned corners: the first and the last rows coincide."""
    ratio = np.float32((coarse - 1) / (full - 1) if full > 1 else 0)
    place = ratio * np.arange(full, dtype=np.float32)
    return _Sources(place, place)


def _row_sources(coarse: int, full: int) -> _Sources:
    """Rows without aligned corners, where pixels are areas. Paddle rounds their places once."""
    ratio = np.float32(coarse / full if full > 1 else 0)
    exact = np.float64(ratio) * (np.arange(full) + 0.5) - 0.5
    return _Sources(exact, exact.astype(np.float32))


def _column_sources(coarse: int, full: int) -> _Sources:
    """Columns likewise, whose places Paddle (3.3, on the CPU) rounds after every step."""
    ratio = np.float32(coarse / full if full > 1 else 0)
    place = ratio * (np.arange(full, dtype=np.float32) + np.float32(0.5)) - np.float32(0.5)
    return _Sources(_row_sources(coarse, full).low, place)


def _aligned_positions(coarse: int, full: int) -> np.ndarray:
    """[coarse] float64 positions of the feature rows among `full` with aligned corners."""
    return np.arange(coarse) * ((full - 1) / max(coarse - 1, 1))


def _area_positions(coarse: int, full: int) -> np.ndarray:
    """[coarse] float64 positions of the feature rows where pixels are areas."""
    return (np.arange(coarse) + 0.5) * (full / coarse) - 0.5


@dataclass(frozen=True)
class Samples:
    """M full-size pixels with the four feature-map locations around each.

    Attributes:
        places: [4][M] int64 flat indices: upper and lower left, upper and lower right; [1][M]
            where nothing is to be interpolated.
        weights: [4] pairs of [M] float32, of the row and of the column.
    """

    places: tuple[np.ndarray, ...]
    weights: tuple[tuple[np.ndarray, np.ndarray], ...]

    def of(self, values: np.ndarray) -> np.ndarray:
        """[M] values interpolated from the flat map `values`.

        The products and the sum are taken in the order of Paddle's kernel.
        """
        if not self.weights:
            return values.take(self.places[0])
        total = 0
        for place, (row_weight, column_weight) in zip(self.places, self.weights, strict=True):
            term = values.take(place)
            term *= row_weight
            term *= column_weight
            total = term if place is self.places[0] else np.add(total, term, out=total)
        return total


@dataclass(frozen=True)
class Patch:
    """All pixels of U cells of equal size: r rows and s columns each.

    Attributes:
        grid: of the cells.
        cells: [U] flat indices on [h, w].
        rows: [r, 1, U] of the pixels in the box.
        columns: [s, U].
    """

    grid: Grid
    cells: np.ndarray
    rows: np.ndarray
    columns: np.ndarray

    @property
    def shape(self) -> tuple[int, int, int]:
        """(r, s, U)."""
        return len(self.rows), *self.columns.shape

    @property
    def pixels(self) -> np.ndarray:
        """[r, s, U] int64 flat indices in the box."""
        return self.rows * self.grid.size[1] + self.columns

    def only(self, chosen: np.ndarray | slice) -> Patch:
        """The patch of the cells at the indices `chosen`."""
        rows, columns = self.rows[..., chosen], self.columns[..., chosen]
        return Patch(self.grid, self.cells[chosen], rows, columns)

    def between(self, values: Sequence[np.ndarray]) -> np.ndarray:
        """[r, s, U] float32 interpolated between the values [U] at the cells' four `corners`.

        The products and the sum are taken in the order of Paddle's kernel.
        """
        rows, columns = self.grid.rows, self.grid.columns
        above, below = rows.low_weight.take(self.rows), rows.high_weight.take(self.rows)
        left, right = (
            weight.take(self.columns) for weight in (columns.low_weight, columns.high_weight)
        )
        north_west, south_west, north_east, south_east = values
        with np.errstate(invalid="ignore", over="ignore"):
            total = north_west * above * left
            total += south_west * below * left
            total += north_east * above * right
            total += south_east * below * right
        return total


@dataclass(frozen=True)
class Grid:
    """A box of the full-size map over the feature map.

    Attributes:
        coarse_size: (h, w) of the feature map.
        full_size: (height, width) of the full-size map.
        box: (top, left, bottom, right) of the part that is computed, end exclusive.
        rows: of the box.
        columns: of the box.
    """

    coarse_size: tuple[int, int]
    full_size: tuple[int, int]
    box: tuple[int, int, int, int]
    rows: Axis
    columns: Axis

    @classmethod
    def of(
        cls,
        coarse_size: tuple[int, int],
        full_size: tuple[int, int],
        box: tuple[int, int, int, int],
        align_corners: bool,
    ) -> Grid:
        """The grid of `F.interpolate(coarse, full_size, align_corners=...)`, cut to the box."""
        top, left, bottom, right = box
        place, *sources = (
            (_aligned_positions, _aligned_sources, _aligned_sources)
            if align_corners
            else (_area_positions, _row_sources, _column_sources)
        )
        parts = slice(top, bottom), slice(left, right)
        axes = (
            Axis.of(source(coarse, full), place(coarse, full), part)
            for coarse, full, part, source in zip(
                coarse_size, full_size, parts, sources, strict=True
            )
        )
        return cls(tuple(coarse_size), tuple(full_size), box, *axes)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the box."""
        return len(self.rows.low), len(self.columns.low)

    @property
    def is_identity(self) -> bool:
        """Whether the feature map has full size already."""
        return self.coarse_size == self.full_size

    @property
    def inside(self) -> tuple[slice, slice]:
        """The box as an index of the full-size map."""
        top, left, bottom, right = self.box
        return slice(top, bottom), slice(left, right)

    def spread(self, cells: np.ndarray) -> np.ndarray:
        """[h, w] values of cells -> [H, W] values of the pixels in them."""
        return cells.take(self.columns.low, axis=1).take(self.rows.low, axis=0)

    def areas(self) -> np.ndarray:
        """[h, w] int64, the number of pixels of the box in each cell."""
        return np.outer(self.rows.counts, self.columns.counts)

    def patches(self, chosen: np.ndarray) -> list[Patch]:
        """The box's pixels in the chosen cells [h, w] bool, in patches of limited size."""
        y, x = np.nonzero(chosen)
        heights, widths = self.rows.counts, self.columns.counts
        height, width = heights.take(y), widths.take(x)
        top, left = ((np.cumsum(n) - n).take(at) for n, at in ((heights, y), (widths, x)))
        found = []
        for r, s in product(*(np.unique(counts[counts > 0]) for counts in (heights, widths))):
            same = np.flatnonzero((height == r) & (width == s))
            for part in blocks(len(same), max(_PIXELS // (r * s), 1)):
                here = same[part]
                rows = top[here] + np.arange(r)[:, None, None]
                columns = left[here] + np.arange(s)[:, None]
                cells = y[here] * self.coarse_size[1] + x[here]
                found.append(Patch(self, cells, rows, columns))
        return found

    def pixels_in(self, chosen: np.ndarray) -> np.ndarray:
        """[M] int64 flat indices of the box's pixels in the chosen cells, patch by patch."""
        return joined(patch.pixels for patch in self.patches(chosen))

    def upsampled_rows(self, values: np.ndarray, part: slice) -> np.ndarray:
        """[R, W] some rows of the box, interpolated from [h, w]; not for an identity grid."""
        return self.upsampled_window(values, part, slice(None))

    def upsampled_window(self, values: np.ndarray, part: slice, beside: slice) -> np.ndarray:
        """[R, S] some rows and columns of the box, interpolated from [h, w]."""
        rows, columns = self.rows, self.columns
        left, left_weight = columns.low[beside], columns.low_weight[beside]
        right, right_weight = columns.high[beside], columns.high_weight[beside]
        north = values.take(rows.low[part], axis=0) * rows.low_weight[part, None]
        south = values.take(rows.high[part], axis=0) * rows.high_weight[part, None]
        total = north.take(left, axis=1) * left_weight
        for edge, places, weight in (
            (south, left, left_weight),
            (north, right, right_weight),
            (south, right, right_weight),
        ):
            term = edge.take(places, axis=1)
            term *= weight
            total += term
        return total

    def at(self, planes: np.ndarray, pixels: np.ndarray) -> np.ndarray:
        """[P, M] float32 planes [P, h, w] interpolated at flat indices of the box."""
        flat, result = (
            planes.reshape(len(planes), -1),
            np.empty((len(planes), len(pixels)), np.float32),
        )
        for part in blocks(len(pixels), _PIXELS):
            samples = self.samples(*np.divmod(pixels[part], self.size[1]))
            with np.errstate(invalid="ignore", over="ignore"):
                for plane, values in zip(flat, result, strict=True):
                    values[part] = samples.of(plane)
        return result

    def cells_of(self, y: np.ndarray, x: np.ndarray) -> np.ndarray:
        """[M] flat indices of the cells in which pixels (y, x) of the box lie."""
        return self.rows.low.take(y) * self.coarse_size[1] + self.columns.low.take(x)

    def samples(self, y: np.ndarray, x: np.ndarray) -> Samples:
        """The feature-map locations around the pixels (y, x) of the box."""
        if self.is_identity:
            return Samples((self.cells_of(y, x),), ())
        rows, columns, width = self.rows, self.columns, self.coarse_size[1]
        north, south = rows.low.take(y) * width, rows.high.take(y) * width
        west, east = columns.low.take(x), columns.high.take(x)
        above, below = rows.low_weight.take(y), rows.high_weight.take(y)
        left, right = columns.low_weight.take(x), columns.high_weight.take(x)
        return Samples(
            (north + west, south + west, north + east, south + east),
            ((above, left), (below, left), (above, right), (below, right)),
        )


def joined(arrays: Iterable[np.ndarray], dtype: type = np.int64) -> np.ndarray:
    """[M] the values of all arrays, concatenated."""
    return np.concatenate([np.empty(0, dtype), *(array.ravel() for array in arrays)])


def corners(cells: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, ...]:
    """Flat indices of the four corners of cells (flat indices on [h, w]), clamped at the end."""
    y, x = np.divmod(cells, size[1])
    south = np.minimum(y + 1, size[0] - 1) * size[1]
    east = np.minimum(x + 1, size[1] - 1)
    return y * size[1] + x, south + x, y * size[1] + east, south + east


def at_corners(values: np.ndarray) -> tuple[np.ndarray, ...]:
    """The [h, w] values at the four corners of every cell, each [h, w]."""
    below = np.concatenate([values[1:], values[-1:]])
    here, beside = ((v, np.concatenate([v[:, 1:], v[:, -1:]], axis=1)) for v in (values, below))
    return (*here, *beside)


def all_alike(values: np.ndarray) -> np.ndarray:
    """[h, w] bool: whether the four corners of each cell have equal values."""
    first, *others = at_corners(values)
    alike = np.ones(values.shape, bool)
    for other in others:
        alike &= first == other
    return alike
