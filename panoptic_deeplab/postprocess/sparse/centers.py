"""Centers: the peaks of a center heatmap, at full size or upsampled only where needed."""

from __future__ import annotations

import numpy as np

from panoptic_deeplab.grouping_settings import check_center_options
from panoptic_deeplab.postprocess.sparse.grid import Grid, at_corners, corners, joined

_ROUNDING = 1e-5  # relative; the rounding error of interpolated values is smaller


def find_centers(
    center_heatmap: np.ndarray,
    *,
    threshold: float = 0.1,
    nms_kernel: int = 7,
    top_k: int = 200,
) -> np.ndarray:
    """Find the peaks of a center heatmap.

    A center is a pixel above the threshold with no higher value in the window around it and no
    equal value earlier in row-major order there, so that a plateau is one center. The `top_k`
    highest are kept, on ties the earlier. NaN counts as no value.

    Args:
        center_heatmap: [H, W] float32.
        threshold: value that a center must exceed.
        nms_kernel: side of the window in pixels, odd.
        top_k: maximum number of centers.

    Returns:
        [K, 2] int64 (y, x) in row-major order.

    Raises:
        UsageError: nms_kernel is even, or top_k or nms_kernel below 1.
    """
    check_center_options(nms_kernel, top_k)
    values = np.ascontiguousarray(center_heatmap, np.float32)
    above = np.flatnonzero(values > threshold)
    return _peaks(above, above, values.ravel()[above], values.shape, nms_kernel, top_k)


def find_upsampled_centers(
    center_heatmap: np.ndarray, grid: Grid, *, threshold: float, nms_kernel: int, top_k: int
) -> np.ndarray:
    """Find the centers of a heatmap [h, w] that is upsampled to the grid's box.

    Only cells with a corner above the threshold are interpolated, for no other pixel can exceed it.
    """
    options = {"threshold": threshold, "nms_kernel": nms_kernel, "top_k": top_k}
    if grid.is_identity:
        return find_centers(center_heatmap[grid.inside], **options)
    highest = np.fmax.reduce(at_corners(center_heatmap))
    lowest = threshold - _ROUNDING * np.abs(highest)
    candidates, pixels, found = [], [], []
    for patch in grid.patches(highest > lowest):
        places = corners(patch.cells, grid.coarse_size)
        values = patch.between([center_heatmap.take(place) for place in places])
        values[~(values > threshold)] = -np.inf
        may_be_center = _highest_in_cell(values) if nms_kernel > 1 else values > threshold
        candidates.append(patch.pixels[may_be_center])
        pixels.append(patch.pixels)
        found.append(values)
    candidates, pixels, values = joined(candidates), joined(pixels), joined(found, np.float32)
    return _peaks(candidates, pixels, values, grid.size, nms_kernel, top_k)


def _highest_in_cell(values: np.ndarray) -> np.ndarray:
    """[r, s, U] bool: above -inf and not below a neighbor in the same cell.

    Values are monotonic along an axis within a cell, so that mostly one pixel of a cell is left.
    """
    highest = values > -np.inf
    for lines, chosen in ((values, highest), (values.swapaxes(0, 1), highest.swapaxes(0, 1))):
        chosen[1:] &= lines[1:] > lines[:-1]
        chosen[:-1] &= lines[:-1] >= lines[1:]
    return highest


def _peaks(
    candidates: np.ndarray,
    pixels: np.ndarray,
    values: np.ndarray,
    size: tuple[int, int],
    nms_kernel: int,
    top_k: int,
) -> np.ndarray:
    """[K, 2] the centers among the candidates.

    The nearest neighbors rule out nearly all candidates, so that few windows are examined whole.

    Args:
        candidates: [N] flat indices of pixels above the threshold, all of them in `pixels`.
        pixels: [M] flat indices of at least all pixels above the threshold.
        values: [M] heatmap values of `pixels`, -inf where not above the threshold.
        size: (height, width) of the map.
        nms_kernel: side of the window in pixels.
        top_k: maximum number of centers.
    """
    reach = min(nms_kernel // 2, max(size))
    width = size[1] + 2 * reach
    bordered = np.full((size[0] + 2 * reach) * width, -np.inf, np.float32)
    places, known = (
        index + index // size[1] * (2 * reach) + reach * (width + 1)
        for index in (candidates, pixels)
    )
    bordered[known] = values
    for distance in range(1, reach + 1):
        places = _highest_of_ring(bordered, places, width, distance)
    places = np.sort(places)
    highest = np.sort(np.argsort(-bordered[places], kind="stable")[:top_k])
    return np.stack(np.divmod(places[highest], width), axis=1) - reach


def _highest_of_ring(
    values: np.ndarray, places: np.ndarray, width: int, distance: int
) -> np.ndarray:
    """The places (flat indices) that no pixel at this Chebyshev distance rules out.

    A pixel of equal value rules a place out if it is earlier in row-major order.
    """
    steps = np.arange(-distance, distance + 1)
    is_ring = np.maximum(np.abs(steps[:, None]), np.abs(steps)) == distance
    for shifts in (steps[:, None] * width + steps)[is_ring].reshape(8, distance):
        shifts = shifts[:, None]
        others, own = values.take(places + shifts), values.take(places)
        places = places[((own > others) | ((own == others) & (shifts > 0))).all(axis=0)]
    return places
