"""Outputs of the two instance heads: center heatmaps and offsets."""

from __future__ import annotations

import cv2
import numpy as np

from panoptic_deeplab.errors import DataError


def draw_field(field: np.ndarray) -> np.ndarray:
    """Draw a scalar field [H, W] as a heatmap, vectors [2, H, W] on the color wheel."""
    return draw_heatmap(field) if field.ndim == 2 else draw_offsets(field)


def draw_heatmap(center_heatmap: np.ndarray) -> np.ndarray:
    """Draw a center heatmap from black over red to light yellow, on a fixed scale.

    Args:
        center_heatmap: [H, W] floats, clipped to 0..1.

    Returns:
        [H, W, 3] uint8 RGB.

    Raises:
        DataError: another shape.
    """
    if center_heatmap.ndim != 2 or not center_heatmap.size:
        raise DataError(f"expected a center heatmap [H, W], got {list(center_heatmap.shape)}")
    values = np.clip(np.nan_to_num(center_heatmap.astype(np.float32)), 0, 1)
    colored = cv2.applyColorMap(np.rint(255 * values).astype(np.uint8), cv2.COLORMAP_INFERNO)
    return cv2.cvtColor(colored, cv2.COLOR_BGR2RGB)


def draw_offsets(
    offsets: np.ndarray, thing_mask: np.ndarray | None = None, *, max_length: float | None = None
) -> np.ndarray:
    """Draw offsets on the color wheel: hue is the direction, saturation the length.

    Right is red, down yellow-green, left cyan, up violet; a zero offset is white. An instance thus
    shows a full wheel around its center.

    Args:
        offsets: [2, H, W] floats, (y, x) in pixels.
        thing_mask: [H, W] bool; pixels outside are black. None draws all pixels.
        max_length: length in pixels at full saturation; None takes the longest one drawn.

    Returns:
        [H, W, 3] uint8 RGB.

    Raises:
        DataError: another shape, or max_length is not positive.
    """
    if offsets.ndim != 3 or offsets.shape[0] != 2 or not offsets.size:
        raise DataError(f"expected offsets [2, H, W] (y, x), got {list(offsets.shape)}")
    if thing_mask is not None and thing_mask.shape != offsets.shape[1:]:
        raise DataError(
            f"expected a thing mask {list(offsets.shape[1:])} as the offsets, got "
            f"{list(thing_mask.shape)}"
        )
    if max_length is not None and not max_length > 0:
        raise DataError(f"expected max_length above 0, got {max_length}")
    down, right = np.nan_to_num(offsets.astype(np.float32), posinf=0, neginf=0)
    shown = np.ones(down.shape, bool) if thing_mask is None else thing_mask.astype(bool)
    length, angle = cv2.cartToPolar(right, down, angleInDegrees=True)
    longest = max_length or float(length[shown].max(initial=0)) or 1.0
    wheel = cv2.merge([angle % 360, np.minimum(length / longest, 1), shown.astype(np.float32)])
    return np.rint(255 * cv2.cvtColor(wheel, cv2.COLOR_HSV2RGB)).astype(np.uint8)
