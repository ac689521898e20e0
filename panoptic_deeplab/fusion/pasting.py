"""Mask logits pasted on their boxes: bilinear between their own pixels, zeros around.

The pixels of a mask share its box evenly. Pixel centers of the image lie at half numbers.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Window = tuple[slice, slice]
"""Rows and columns of an image."""

THINNEST = 1e-6
"""Pixels that a box without a width has where others are taken as they are."""


def paste(
    logits: np.ndarray, box: Sequence[float], window: Window, min_side: float = 1.0
) -> np.ndarray:
    """[H, W] float32: logits [h, w] pasted on a box (x0, y0, x1, y1), in a window of the image."""
    rows, columns = (np.arange(part.start, part.stop) + 0.5 for part in window)
    return sample(logits, box, rows, columns, min_side)


def sample(
    logits: np.ndarray,
    box: Sequence[float],
    rows: np.ndarray,
    columns: np.ndarray,
    min_side: float = 1.0,
) -> np.ndarray:
    """[H, W] float32: the pasted logits at some rows and columns.

    Args:
        logits: [h, w].
        box: (x0, y0, x1, y1) in pixels.
        rows: [H] where the logits are wanted.
        columns: [W] likewise.
        min_side: pixels that a thinner box is widened to.
    """
    x0, y0, x1, y1 = box
    of_rows = _weights(y0, max(y1 - y0, min_side), rows, logits.shape[0])
    of_columns = _weights(x0, max(x1 - x0, min_side), columns, logits.shape[1])
    return of_rows @ logits.astype(np.float32) @ of_columns.T


def touched_pixels(box: Sequence[float], size: tuple[int, int]) -> Window:
    """The pixels that a box (x0, y0, x1, y1) touches or ends at, inside the image."""
    x0, y0, x1, y1 = np.floor(box)
    return _clipped(y0, y1 + 1, size[0]), _clipped(x0, x1 + 1, size[1])


def reached_pixels(
    box: Sequence[float], size: tuple[int, int], mask_size: tuple[int, int]
) -> Window:
    """The pixels that the pasted mask reaches: half a mask pixel beyond the box."""
    x0, y0, x1, y1 = box
    rim_y, rim_x = (y1 - y0) / mask_size[0] / 2, (x1 - x0) / mask_size[1] / 2
    return (
        _clipped(np.floor(y0 - rim_y + 0.5), np.ceil(y1 + rim_y - 0.5), size[0]),
        _clipped(np.floor(x0 - rim_x + 0.5), np.ceil(x1 + rim_x - 0.5), size[1]),
    )


def _clipped(start: float, stop: float, length: int) -> slice:
    return slice(int(np.clip(start, 0, length)), int(np.clip(stop, 0, length)))


def _weights(start: float, length: float, places: np.ndarray, pixels: int) -> np.ndarray:
    """[P, pixels] float32, how much of each mask pixel is seen at each place."""
    along = (places - start) * (pixels / length) - 0.5
    return np.maximum(0, 1 - np.abs(along[:, None] - np.arange(pixels))).astype(np.float32)
