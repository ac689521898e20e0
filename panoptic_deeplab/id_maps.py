"""Run-length views of id maps: a run is a row's consecutive pixels of one id.

A map of ids has a hundred times as many pixels as runs, so what is constant on segments is looked
up or added up for the runs, and only then spread over the pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


def run_starts(*maps: np.ndarray) -> np.ndarray:
    """Find where a row, or a value of any map, begins in the flattened maps [H, W]: [N] ascending.

    >>> run_starts(np.array([[7, 7, 0], [0, 5, 5]])).tolist()
    [0, 2, 3, 4]
    """
    width = max(1, maps[0].shape[1])
    first, *others = (values.ravel() for values in maps)
    begins = np.ones(first.size, bool)
    np.not_equal(first[1:], first[:-1], out=begins[1:])
    for other in others:
        begins[1:] |= other[1:] != other[:-1]
    begins[::width] = True
    return np.flatnonzero(begins)


@dataclass(frozen=True)
class Runs:
    """The runs of a map, N of them, in row-major order.

    Attributes:
        size: (height, width) of the map.
        starts: [N] position of the first pixel in the flattened map.
        lengths: [N] pixels, at least 1.
        values: [N] the id of each.
    """

    size: tuple[int, int]
    starts: np.ndarray
    lengths: np.ndarray
    values: np.ndarray

    @classmethod
    def of(cls, ids: np.ndarray) -> Runs:
        """Cut a map [H, W] of whole numbers into runs.

        `[[7, 7, 0], [7, 5, 5]]` has runs that start at 0, 2, 3 and 4, are 2, 1, 1 and 2 long and
        have the values 7, 0, 7 and 5.
        """
        starts = run_starts(ids)
        values = ids[np.divmod(starts, max(1, ids.shape[1]))]
        return cls(ids.shape, starts, np.diff(starts, append=ids.size), values)

    @property
    def rows(self) -> np.ndarray:
        """[N] row of each run."""
        return self.starts // max(1, self.size[1])

    @property
    def columns(self) -> np.ndarray:
        """[N] column of each run's first pixel."""
        return self.starts % max(1, self.size[1])

    def spread(self, values: np.ndarray) -> np.ndarray:
        """Spread one value per run [N] over its pixels: [H, W]."""
        return np.repeat(values, self.lengths).reshape(self.size)


def distinct_ids(ids: np.ndarray) -> list[int]:
    """List the values of a map [H, W], ascending."""
    return np.unique(ids.ravel()[run_starts(ids)]).tolist()


@dataclass(frozen=True)
class IdMeasures:
    """The area and the extent of each id of a map, void included; N ids, ascending.

    Attributes:
        ids: [N] int64.
        areas: [N] int64 pixels.
        boxes: [N, 4] int64: top, left, bottom, right, end exclusive.
        first: [N, 2] int64 (y, x): the first pixel of each in row-major order.
    """

    ids: np.ndarray
    areas: np.ndarray
    boxes: np.ndarray
    first: np.ndarray


def measure_ids(ids: np.ndarray) -> IdMeasures:
    """Measure a map [H, W] of whole numbers.

    `[[1, 1, 0]]` has areas 1 and 2, boxes (0, 2, 1, 3) and (0, 0, 1, 2) for the ids 0 and 1.
    """
    runs = Runs.of(ids)
    values = runs.values.astype(np.int64)
    order = np.argsort(values, kind="stable")
    values, y, left = values[order], runs.rows[order], runs.columns[order]
    lengths = runs.lengths[order]
    if not values.size:
        none = np.zeros((0, 4), np.int64)
        return IdMeasures(values, values, none, none[:, :2])
    groups = np.flatnonzero(np.append(True, values[1:] != values[:-1]))
    lowest, highest = np.minimum.reduceat, np.maximum.reduceat
    edges = (
        y[groups],  # runs of one id are still in row-major order
        lowest(left, groups),
        highest(y, groups) + 1,
        highest(left + lengths, groups),
    )
    return IdMeasures(
        values[groups],
        np.add.reduceat(lengths, groups),
        np.stack(edges, axis=1),
        np.stack([y[groups], left[groups]], axis=1),
    )
