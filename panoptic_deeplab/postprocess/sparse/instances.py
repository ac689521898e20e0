"""The instance of every thing pixel, from offsets at the network's stride.

The point that a pixel's offset refers to is a bilinear combination of the points of its cell's
corners, and the points nearest to one center form a convex region: if all four corners belong to
one center, so does every pixel inside. Offsets are interpolated only in the other cells.
"""

from __future__ import annotations

import numpy as np

from panoptic_deeplab.postprocess.sparse.grid import Axis, Grid, all_alike, corners
from panoptic_deeplab.postprocess.sparse.nearest_centers import nearest_centers
from panoptic_deeplab.postprocess.sparse.patchwork import Patchwork

_DEVIATION = 0.005  # maximum error of an interpolated point in pixels


def group_upsampled_pixels(
    centers: np.ndarray, offsets: np.ndarray, labels: Patchwork, is_thing: np.ndarray
) -> Patchwork:
    """Instance and class of every pixel: `group_pixels` of offsets [2, h, w] on the labels' grid.

    Args:
        centers: [K, 2] (y, x) in the box.
        offsets: [2, h, w] float32, (y, x) in pixels of the large map.
        labels: the class of each pixel.
        is_thing: [C] bool.

    Returns:
        instance * C + class; instances are 1..K, or 0 where there is no thing or no center.
    """
    grid, classes, centers = labels.grid, len(is_thing), centers.astype(np.float32)
    has_things = labels.is_mixed | is_thing.take(labels.cells)
    owner = _instances_of_cells(centers, offsets, has_things, grid)
    is_split = (owner < 0) & ~labels.is_mixed  # of one class, but perhaps of several instances
    split = grid.pixels_in(is_split)
    pixels = np.concatenate([labels.pixels, split])
    cells = grid.cells_of(*np.divmod(pixels, grid.size[1]))
    categories = np.concatenate([labels.values, labels.cells.take(cells[len(labels.pixels) :])])
    instances = np.where(is_thing.take(categories), owner.take(cells), 0)
    undecided = np.flatnonzero(instances < 0)
    aims = _aims(offsets, grid, pixels[undecided])
    instances[undecided] = nearest_centers(centers, *aims, grid.size)[0] + 1
    is_mixed = labels.is_mixed | is_split
    of_cells = np.where(is_mixed, 0, owner * classes + labels.cells)
    return Patchwork(grid, of_cells, is_mixed, pixels, instances * classes + categories)


def _aims(offsets: np.ndarray, grid: Grid, pixels: np.ndarray) -> np.ndarray:
    """[2, M] float32 (y, x): pixel + offset of pixels given as flat indices of the box."""
    aims = grid.at(offsets, pixels)
    aims += np.stack(np.divmod(pixels, grid.size[1])).astype(np.float32)
    return aims


def _instances_of_cells(
    centers: np.ndarray, offsets: np.ndarray, has_things: np.ndarray, grid: Grid
) -> np.ndarray:
    """[h, w] int64: 1..K where all things of a cell belong to one center, -1 where undecided.

    0 where there are no things or no centers.
    """
    shape, owner = grid.coarse_size, np.zeros(grid.coarse_size, np.int64)
    if not len(centers):
        return owner
    wanted = np.zeros(owner.size, bool)
    for corner in corners(np.flatnonzero(has_things), shape):
        wanted[corner] = True
    places = np.flatnonzero(wanted)
    aims = (
        axis.positions.astype(np.float32)[position] + offset.ravel()[places]
        for axis, position, offset in zip(
            (grid.rows, grid.columns), np.divmod(places, shape[1]), offsets, strict=True
        )
    )
    nearest, lead = nearest_centers(centers, *aims, grid.size)
    if grid.is_identity:
        owner.ravel()[places] = nearest + 1
        return np.where(has_things, owner, 0)
    is_sure = lead > 2 * _DEVIATION * np.hypot(*np.ptp(centers, axis=0))
    owner.ravel()[places[is_sure]] = nearest[is_sure] + 1
    evenly = _lies_evenly(grid.rows)[:, None] & _lies_evenly(grid.columns)
    decided = all_alike(owner) & evenly & (owner > 0)
    return np.where(has_things, np.where(decided, owner, -1), 0)


def _lies_evenly(axis: Axis) -> np.ndarray:
    """[h] bool: whether interpolating the positions of feature rows reproduces those of the pixels.

    Without aligned corners, the outermost pixels lie beyond the outermost feature rows.
    """
    interpolated = (
        axis.positions[axis.low] * axis.low_weight + axis.positions[axis.high] * axis.high_weight
    )
    deviation = np.abs(interpolated - np.arange(len(axis.low)))
    evenly = np.ones(len(axis.positions), bool)
    evenly[axis.low[deviation > _DEVIATION / 2]] = False
    return evenly
