"""The class of every pixel at full size, computed only where it can change.

Bilinear interpolation is a convex combination, which preserves order: if all four corners of a
cell have the same highest class, so has every pixel inside. Only cells at the borders of classes
are interpolated, and only for classes that can win there. The labels equal those of `F.interpolate`
and an argmax over the whole map, the lowest class on ties; NaN is below every number.
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
_SPARSE = 0.4  # fraction of pixels in mixed cells above which computing all pixels is faster
_ROUNDING = 2.0**-19  # of the largest logit; above the rounding error of two interpolations


def upsampled_labels(logits: np.ndarray, grid: Grid, label_type: type) -> Patchwork:
    """The class of the highest logit of [C, h, w], upsampled to the grid's box."""
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
    """[H, W] class of every pixel, without leaving any out, a few rows at a time."""
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
    """The highest class [h, w] of logits [C, h, w], and its margin over the second highest."""
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

    Cells are sorted by descending number of candidate classes, so that the cells with a further
    candidate are a prefix.
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
    """[C, U] bool: all classes but those whose highest corner is below another's lowest corner.

    Args:
        values: [C, U] at each of the four corners of the cells.
        tolerance: maximum rounding error of an interpolation.
    """
    lowest, highest = (reduce(extreme, values) for extreme in (np.minimum, np.maximum))
    with np.errstate(invalid="ignore"):
        return ~(highest < lowest.max(axis=0) - tolerance)
