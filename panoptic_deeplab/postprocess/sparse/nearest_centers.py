"""The nearest of many centers, exactly, by a table of square cells of the image.

By the triangle inequality a center can be nearest to a point of a cell only if its distance from
the cell's middle exceeds the shortest such distance by at most the cell's diagonal. Mostly one
center is left, and the table holds the result.
"""

from __future__ import annotations

import numpy as np

from panoptic_deeplab.postprocess.sparse.blocks import blocks
from panoptic_deeplab.postprocess.sparse.candidates import Candidates, numbered

_CELL = 16  # pixels
_POINTS = 1 << 16  # in a block
_DISTANCES = 1 << 18  # held at a time where the table does not reach
_SLACK = 0.1  # pixels by which a candidate may be farther; larger than all rounding errors


def nearest_centers(
    centers: np.ndarray, y: np.ndarray, x: np.ndarray, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """The center nearest to each point, the first on ties.

    Distances are squared, in float32. Points that are NaN go to the first center.

    Args:
        centers: [K, 2] float32 (y, x), K at least 1 if there are points.
        y: [M] float32.
        x: [M] float32.
        size: (height, width) that the table covers; points outside are compared with all centers.

    Returns:
        [M] int64 centers; [M] float32 lower bound of how much larger the squared distance to the
        second nearest center is, infinite where no other center is a candidate.
    """
    if not len(y):
        return np.zeros(0, np.int64), np.zeros(0, np.float32)
    with np.errstate(invalid="ignore"):
        inside = (y >= 0) & (y < size[0]) & (x >= 0) & (x < size[1])
    if inside.all():
        return _by_table(centers, y, x, size)
    nearest, lead = np.zeros(len(y), np.int64), np.zeros(len(y), np.float32)
    for chosen, found in (
        (inside, _by_table(centers, y[inside], x[inside], size)),
        (~inside, _by_comparison(centers, y[~inside], x[~inside])),
    ):
        nearest[chosen], lead[chosen] = found
    return nearest, lead


def _by_table(
    centers: np.ndarray, y: np.ndarray, x: np.ndarray, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Nearest centers and leads of points inside `size`."""
    columns = -(-size[1] // _CELL)
    cells = (y * np.float32(1 / _CELL)).astype(np.int64) * columns
    cells += (x * np.float32(1 / _CELL)).astype(np.int64)
    present, slots = numbered(cells)
    middles = (np.stack(np.divmod(present, columns), axis=1) + 0.5) * _CELL
    candidates = Candidates.of(_may_be_nearest(centers, middles.astype(np.float32)))
    rows_of_centers, columns_of_centers = centers.T.copy()
    nearest, lead = np.empty(len(y), np.int64), np.empty(len(y), np.float32)

    def choose(part: slice) -> None:
        here_y, here_x = y[part], x[part]

        def closeness(points: np.ndarray | slice, center: np.ndarray) -> np.ndarray:
            squared = (rows_of_centers.take(center) - here_y[points]) ** 2
            squared += (columns_of_centers.take(center) - here_x[points]) ** 2
            return np.negative(squared, out=squared)

        nearest[part], lead[part] = candidates.best(slots[part], closeness)

    for part in blocks(len(y), _POINTS):
        choose(part)
    return nearest, lead


def _may_be_nearest(centers: np.ndarray, middles: np.ndarray) -> np.ndarray:
    """[U, K] which centers may be nearest to a point of the cells around the middles [U, 2]."""
    with np.errstate(over="ignore", invalid="ignore"):
        down, right = (middles[:, None, axis] - centers[:, axis] for axis in (0, 1))
        squared = np.square(down, out=down)
        squared += np.square(right, out=right)
        shortest = np.sqrt(squared.min(axis=1, keepdims=True))
        slack = _SLACK + 1e-5 * np.sqrt(squared.max(initial=0))
        return ~(squared > np.square(shortest + np.float32(_CELL * 2**0.5 + slack)))


def _by_comparison(
    centers: np.ndarray, y: np.ndarray, x: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Nearest centers by comparing with all of them; leads are not computed but 0."""
    nearest = np.zeros(len(y), np.int64)
    for part in blocks(len(y), max(_DISTANCES // len(centers), 1)):
        with np.errstate(over="ignore", invalid="ignore"):
            squared = (centers[:, 0] - y[part, None]) ** 2 + (centers[:, 1] - x[part, None]) ** 2
        nearest[part] = np.where(np.isnan(squared), np.inf, squared).argmin(axis=1)
    return nearest, np.zeros(len(y), np.float32)


def group_pixels(centers: np.ndarray, offsets: np.ndarray, thing_mask: np.ndarray) -> np.ndarray:
    """Assign every thing pixel to an instance: the center nearest to pixel + offset.

    Distances are squared, in float32; the first center wins ties, and where an offset is NaN.

    Args:
        centers: [K, 2] (y, x).
        offsets: [2, H, W] float32, (y, x) in pixels.
        thing_mask: [H, W] bool.

    Returns:
        [H, W] int32, 1..K, or 0 where there is no thing or no center.
    """
    instances = np.zeros(thing_mask.shape, np.int32)
    if not len(centers):
        return instances
    pixels = np.flatnonzero(thing_mask)
    y, x = (
        position.astype(np.float32) + offset.ravel()[pixels]
        for position, offset in zip(np.divmod(pixels, thing_mask.shape[1]), offsets, strict=True)
    )
    centers = np.asarray(centers, np.float32).reshape(-1, 2)
    instances.ravel()[pixels] = nearest_centers(centers, y, x, thing_mask.shape)[0] + 1
    return instances
