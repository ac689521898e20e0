"""The class of every pixel of the large map, computed only where it can change.

Bilinear interpolation is a convex combination, which keeps the order: where all four corners of a
cell have the same highest class, so has every pixel inside. Only the cells at the borders of
classes are interpolated, and there only the classes that can win. The labels equal those of
`F.interpolate` and an arg max over the whole map, of equal logits the lowest class; NaN is lower
than every number.
"""

from __future__ import annotations

import numpy as np

from panoptic_deeplab.postprocess.blocks import blocks
from panoptic_deeplab.postprocess.candidates import Candidates, numbered
from panoptic_deeplab.postprocess.patchwork import Patchwork
from panoptic_deeplab.postprocess.upsampling import Grid, all_alike, corners

_PIXELS = 1 << 16  # in a block
_ROWS = 8
_SPARSE = 0.4  # of the pixels; with more at borders, as in noise, all are computed at less cost
_ROUNDING = 2.0**-19  # of the largest logit: more than interpolating two classes can err


def upsampled_labels(logits: np.ndarray, grid: Grid, label_type: type) -> Patchwork:
    """The highest class of the logits [C, h, w] on the grid's box."""
    coarse, lead = highest_classes(logits, label_type)
    if grid.is_identity:
        nowhere = np.zeros(grid.coarse_size, bool)
        return Patchwork(grid, coarse, nowhere, np.zeros(0, np.int64), np.zeros(0, label_type))
    with np.errstate(invalid="ignore"):
        tolerance = np.float32(_ROUNDING) * np.maximum(logits.max(), -logits.min())
        is_sure = lead > tolerance
    is_mixed = ~(all_alike(coarse) & all_alike(is_sure) & is_sure)
    pixels = grid.pixels_in(is_mixed)
    if len(pixels) > _SPARSE * grid.size[0] * grid.size[1]:
        values = _dense_labels(logits, grid, label_type).ravel()[pixels]
    else:
        values = _sparse_labels(logits, grid, pixels, label_type, tolerance)
    return Patchwork(grid, coarse, is_mixed, pixels, values)


def _sparse_labels(
    logits: np.ndarray, grid: Grid, pixels: np.ndarray, label_type: type, tolerance: np.float32
) -> np.ndarray:
    """[M] the highest class at the flat indices `pixels` of the box, some at a time."""
    flat, labels = logits.reshape(len(logits), -1), np.empty(len(pixels), label_type)
    for part in blocks(len(pixels), _PIXELS):
        labels[part] = _interpolated_labels(flat, grid, pixels[part], tolerance)
    return labels


def _dense_labels(logits: np.ndarray, grid: Grid, label_type: type) -> np.ndarray:
    """[H, W] the same without leaving anything out, a few rows at a time."""
    labels = np.zeros(grid.size, label_type)
    for part in blocks(len(labels), _ROWS):
        best = np.full((part.stop - part.start, grid.size[1]), -np.inf, np.float32)
        with np.errstate(invalid="ignore"):
            for category, values in enumerate(logits):
                upsampled = grid.upsampled_rows(values, part)
                labels[part][upsampled > best] = category
                np.fmax(best, upsampled, out=best)
    return labels


def highest_classes(logits: np.ndarray, label_type: type) -> tuple[np.ndarray, np.ndarray]:
    """The highest class [h, w] of logits [C, h, w], and by how much it leads the next."""
    flat = logits.reshape(len(logits), -1)
    labels = np.zeros(flat.shape[1], label_type)
    lead = np.empty(flat.shape[1], np.float32)
    for part in blocks(flat.shape[1], _PIXELS):
        best, second = np.full((2, part.stop - part.start), -np.inf, np.float32)
        for category, values in enumerate(flat[:, part]):
            labels[part][values > best] = category
            np.fmax(second, np.fmin(values, best), out=second)
            np.fmax(best, values, out=best)
        with np.errstate(invalid="ignore"):
            np.subtract(best, second, out=lead[part])
    return labels.reshape(logits.shape[1:]), lead.reshape(logits.shape[1:])


def _interpolated_labels(
    flat: np.ndarray, grid: Grid, pixels: np.ndarray, tolerance: np.float32
) -> np.ndarray:
    """[M] the highest class at the flat indices `pixels` of the box; logits are [C, h * w]."""
    y, x = np.divmod(pixels, grid.size[1])
    cells = grid.cells_of(y, x)
    present, slots = numbered(cells)
    classes = Candidates.of(_classes_that_may_win(flat, present, grid.coarse_size, tolerance))
    samples = grid.samples(y, x)

    def value_of(points: np.ndarray | slice, category: np.ndarray) -> np.ndarray:
        chosen = samples if isinstance(points, slice) else samples.only(points)
        return chosen.of(flat, category * flat.shape[1])

    with np.errstate(invalid="ignore"):
        return classes.best(slots, value_of)[0]


def _classes_that_may_win(
    flat: np.ndarray, cells: np.ndarray, size: tuple[int, int], tolerance: np.float32
) -> np.ndarray:
    """[U, C]: all but the classes whose highest corner is below the lowest of another class."""
    lowest = highest = flat[:, cells]
    for corner in corners(cells, size)[1:]:
        values = flat[:, corner]
        lowest, highest = np.minimum(lowest, values), np.maximum(highest, values)
    with np.errstate(invalid="ignore"):
        return ~(highest < lowest.max(axis=0) - tolerance).T
