"""The centres: peaks of a heat map, of the large map or straight from the network's."""

from __future__ import annotations

import numpy as np

from panoptic_deeplab.grouping_settings import check_center_options
from panoptic_deeplab.postprocess.sparse.grid import Grid, at_corners, corners, joined

_ROUNDING = 1e-5  # relative; interpolating heat errs by less


def find_centers(
    center_heatmap: np.ndarray,
    *,
    threshold: float = 0.1,
    nms_kernel: int = 7,
    top_k: int = 200,
) -> np.ndarray:
    """The peaks of a heat map.

    A centre is a pixel above the threshold with no higher heat in the window around it and no
    equal heat earlier in row-major order there, so that a plateau is one centre. Of more than
    `top_k` the hottest stay, on ties the earlier. NaN is no heat.

    Args:
        center_heatmap: [H, W] float32.
        threshold: heat a centre must exceed.
        nms_kernel: side of the window in pixels, odd.
        top_k: most centres kept.

    Returns:
        [K, 2] int64 (y, x) in row-major order.

    Raises:
        UsageError: nms_kernel is even, or top_k or nms_kernel below 1.
    """
    check_center_options(nms_kernel, top_k)
    heat = np.ascontiguousarray(center_heatmap, np.float32)
    hot = np.flatnonzero(heat > threshold)
    return _peaks(hot, hot, heat.ravel()[hot], heat.shape, nms_kernel, top_k)


def find_upsampled_centers(
    center_heatmap: np.ndarray, grid: Grid, *, threshold: float, nms_kernel: int, top_k: int
) -> np.ndarray:
    """`find_centers` of the heat map [h, w] interpolated on the grid's box.

    Only pixels are interpolated that can exceed the threshold: those with such a corner.
    """
    options = {"threshold": threshold, "nms_kernel": nms_kernel, "top_k": top_k}
    if grid.is_identity:
        return find_centers(center_heatmap[grid.inside], **options)
    highest = np.fmax.reduce(at_corners(center_heatmap))
    least = threshold - _ROUNDING * np.abs(highest)
    candidates, pixels, heats = [], [], []
    for patch in grid.patches(highest > least):
        places = corners(patch.cells, grid.coarse_size)
        heat = patch.between([center_heatmap.take(place) for place in places])
        heat[~(heat > threshold)] = -np.inf
        may_be_center = _highest_in_cell(heat) if nms_kernel > 1 else heat > threshold
        candidates.append(patch.pixels[may_be_center])
        pixels.append(patch.pixels)
        heats.append(heat)
    candidates, pixels, heat = joined(candidates), joined(pixels), joined(heats, np.float32)
    return _peaks(candidates, pixels, heat, grid.size, nms_kernel, top_k)


def _highest_in_cell(heat: np.ndarray) -> np.ndarray:
    """[r, s, U] the pixels above -inf that none beside them in their cell rules out.

    Heat falls to one side within a cell, which leaves one pixel of most.
    """
    highest = heat > -np.inf
    for values, chosen in ((heat, highest), (heat.swapaxes(0, 1), highest.swapaxes(0, 1))):
        chosen[1:] &= values[1:] > values[:-1]
        chosen[:-1] &= values[:-1] >= values[1:]
    return highest


def _peaks(
    candidates: np.ndarray,
    pixels: np.ndarray,
    heat: np.ndarray,
    size: tuple[int, int],
    nms_kernel: int,
    top_k: int,
) -> np.ndarray:
    """[K, 2] the centres among the candidates.

    The nearest neighbours rule out nearly all of them, so that few windows are looked at whole.

    Args:
        candidates: [N] flat indices, some of those of `pixels` that are above the threshold.
        pixels: [M] flat indices of all pixels above the threshold.
        heat: [M] theirs; pixels below may be there with -inf.
        size: (height, width) of the map.
        nms_kernel: side of the window in pixels.
        top_k: most centres kept.
    """
    reach = min(nms_kernel // 2, max(size))
    width = size[1] + 2 * reach
    bordered = np.full((size[0] + 2 * reach) * width, -np.inf, np.float32)
    places, known = (
        index + index // size[1] * (2 * reach) + reach * (width + 1)
        for index in (candidates, pixels)
    )
    bordered[known] = heat
    for distance in range(1, reach + 1):
        places = _highest_of_ring(bordered, places, width, distance)
    places = np.sort(places)
    heat = bordered[places]
    hottest = np.sort(np.argsort(-heat, kind="stable")[:top_k])
    return np.stack(np.divmod(places[hottest], width), axis=1) - reach


def _highest_of_ring(heat: np.ndarray, places: np.ndarray, width: int, distance: int) -> np.ndarray:
    """Those of the places (flat) that no pixel at this distance (of the longer side) rules out.

    One as hot rules a place out if it is earlier in row-major order.
    """
    steps = np.arange(-distance, distance + 1)
    is_ring = np.maximum(np.abs(steps[:, None]), np.abs(steps)) == distance
    for shifts in (steps[:, None] * width + steps)[is_ring].reshape(8, distance):
        shifts = shifts[:, None]
        others, own = heat.take(places + shifts), heat.take(places)
        places = places[((own > others) | ((own == others) & (shifts > 0))).all(axis=0)]
    return places
