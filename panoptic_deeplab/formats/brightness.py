"""Values of more than 8 bits as 8 bits of brightness.

Cameras store 10, 12 or 14 bits in values of 16 bits; by their upper byte such an image is black. So
the depth is taken from the highest value that occurs.
"""

from __future__ import annotations

import logging
from typing import BinaryIO

import cv2
import numpy as np
from PIL import Image

from panoptic_deeplab.notices import warn_once

_log = logging.getLogger(__name__)

_DEPTHS = (8, 10, 12, 14, 16, 24, 32)  # bits of a camera's or a program's values
_USUAL = 16
_COLOR_BANDS = {"RGB": 3, "RGBA": 3, "RGBX": 3, "LA": 1}
_NARROW_BYTE = 1 << 6  # the highest upper byte, perhaps rounded, of values of 14 bits
_MARKS = (";16", "65535")  # of 16 bits in Pillow's arguments of a decoder: raw mode, or maximum


def to_eight_bits(values: np.ndarray, name: str) -> np.ndarray:
    """Scale values of 16 or 32 bits, of any shape, to uint8 by the depth that they make use of.

    The depth is the smallest of 8, 10, 12, 14, 16, 24 and 32 bits that holds the highest value:
    at 12 bits 4095 becomes 255. Below 16 bits this is logged, once for each depth; `name` is the
    image's. Negative values become 0.
    """
    highest = int(values.max())
    depth = next(bits for bits in _DEPTHS if highest < 1 << bits)
    if highest > 0 and depth < _USUAL:
        warn_once(
            _log,
            ("depth", depth),
            "%s: its values go up to %d, so they are taken as %d bits and scaled to the full "
            "range of brightness; other such images are not mentioned",
            name,
            highest,
            depth,
        )
    if values.dtype.kind == "i":
        values = np.maximum(values, 0)
    return (values >> (depth - 8)).astype(np.uint8)


def may_be_black(image: Image.Image) -> bool:
    """Whether an image that is not decoded yet has colors of 16 bits, of which Pillow keeps 8."""
    return image.mode in _COLOR_BANDS and any(
        mark in str(tile[3]) for tile in image.tile for mark in _MARKS
    )


def all_bits(image: Image.Image, file: BinaryIO, name: str) -> np.ndarray | None:
    """[H, W, 3] uint8 RGB of 16-bit colors that do not make use of the upper bits.

    Returns:
        None where they do, so that the decoded image is right; or where OpenCV, which keeps all 16
        bits, cannot read the file.
    """
    extrema = image.getextrema()[: _COLOR_BANDS[image.mode]]
    if max(high for _, high in extrema) > _NARROW_BYTE:
        return None
    file.seek(0)
    try:
        values = cv2.imdecode(np.frombuffer(file.read(), np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        return None
    if values is None or values.dtype != np.uint16:
        return None
    colors = values[..., 2::-1] if values.ndim == 3 else np.repeat(values[..., None], 3, axis=2)
    return to_eight_bits(colors, name)
