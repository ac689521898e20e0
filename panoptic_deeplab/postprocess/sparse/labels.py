"""The class of every pixel of the large map, computed only where it can change.

Bilinear interpolation is a convex combination, which keeps the order: where all four corners of a
cell have the same highest class, so has every pixel inside. Only the cells at the borders of
classes are interpolated, and there only the classes that can win. The labels equal those of
`F.interpolate` and an arg max over the whole map, of equal logits the lowest class; NaN is lower
than every number.
"""

from __future__ import annotations

from functools import reduce

import numpy as np

from panoptic_deeplab.postprocess.sparse.blocks import blocks
from panoptic_deeplab.postprocess.sparse.candidates import Candidates
from panoptic_deeplab.postprocess.sparse.grid import Grid, Patch, all_alike, corners, joined
from panoptic_deeplab.postprocess.sparse.patchwork import Patchwork

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
    patches = grid.patches(is_mixed)
    pixels = joined(patch.pixels for patch in patches)
    if len(pixels) > _SPARSE * grid.size[0] * grid.size[1]:
        values = _dense_labels(logits, grid, label_type).ravel()[pixels]
    else:
        flat = logits.reshape(len(logits), -1)
        labels = (_interpolated_labels(flat, patch, label_type, tolerance) for patch in patches)
        values = joined(labels, label_type)
    return Patchwork(grid, coarse, is_mixed, pixels, values)


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
    flat: np.ndarray, patch: Patch, label_type: type, tolerance: np.float32
) -> np.ndarray:
    """[r, s, U] the highest class of each pixel of the patch; logits are [C, h * w].

    The cells with most classes come first, so that those with one more left are the first few.
    """
    values = [flat.take(place, axis=1) for place in corners(patch.cells, patch.grid.coarse_size)]
    may_win = _classes_that_may_win(values, tolerance)
    order = np.argsort(-may_win.sum(axis=0), kind="stable")
    classes, patch = Candidates.of(may_win.T.take(order, axis=0)), patch.only(order)
    best = np.full(patch.shape, -np.inf, np.float32)
    labels = np.zeros(patch.shape, label_type)
    for rank in range(int(classes.count.max(initial=0))):
        some = slice(np.count_nonzero(classes.count > rank))
        category = classes.members.take(classes.first[some] + rank)
        places = category * len(order) + order[some]
        upsampled = patch.only(some).between([value.take(places) for value in values])
        held, held_by = best[..., some], labels[..., some]
        held_by[:] = np.where(upsampled > held, category.astype(label_type), held_by)
        np.maximum(held, upsampled, out=held)
    in_place = np.empty_like(labels)
    in_place[..., order] = labels
    return in_place


def _classes_that_may_win(values: list[np.ndarray], tolerance: np.float32) -> np.ndarray:
    """[C, U]: all but the classes whose highest corner is below the lowest of another class.

    Args:
        values: [C, U] at each of the four corners of the cells.
        tolerance: what interpolating may err.
    """
    lowest, highest = (reduce(extreme, values) for extreme in (np.minimum, np.maximum))
    with np.errstate(invalid="ignore"):
        return ~(highest < lowest.max(axis=0) - tolerance)
