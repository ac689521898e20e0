"""PNGs of the plain kinds that labels come in, decoded without a copy too many.

OpenCV decodes them faster than Pillow, but says nothing of palettes, and of a broken file only on
the C library's standard error. So the file is looked through first, and whatever is not plain and
whole is left to Pillow.
"""

from __future__ import annotations

import zlib
from pathlib import Path

import cv2
import numpy as np

from panoptic_deeplab.files import open_file

MAX_PIXELS = 1 << 27

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_DEPTHS_OF_COLOR_TYPE = {0: (8, 16), 2: (8,), 6: (8,)}  # grey, RGB, RGBA
_HARMLESS = {b"IHDR", b"IDAT", b"IEND", b"tEXt", b"tIME", b"pHYs", b"gAMA", b"sRGB", b"cHRM"}


def read_plain_png(path: str | Path) -> np.ndarray | None:
    """The values of a PNG as they are stored, or None where Pillow should have a look.

    Returns:
        [H, W] uint8 or uint16 of a grey PNG; [H, W, 3] or [H, W, 4] uint8 in the order blue, green,
        red, alpha of a coloured one. None for palettes, transparent colours, interlacing, other
        depths, animations, other formats, and for what is broken or huge.

    Raises:
        DataError: the file is missing or cannot be read.
    """
    with open_file(path) as file:
        if file.read(len(_SIGNATURE)) != _SIGNATURE:
            return None
        data = _SIGNATURE + file.read()
    if not _is_plain(data):
        return None
    values = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    return values if values is not None and values.size else None


def _is_plain(data: bytes) -> bool:
    """Whether all chunks are whole and of kinds that do not change what the values mean."""
    position = len(_SIGNATURE)
    header = b""
    while position + 12 <= len(data):
        length = int.from_bytes(data[position : position + 4], "big")
        kind = data[position + 4 : position + 8]
        end = position + 8 + length
        if kind not in _HARMLESS or end + 4 > len(data):
            return False
        checksum = int.from_bytes(data[end : end + 4], "big")
        if zlib.crc32(memoryview(data)[position + 4 : end]) != checksum:
            return False
        if kind == b"IHDR":
            header = data[position + 8 : end]
        if kind == b"IEND":
            return _is_plain_header(header)
        position = end + 4
    return False


def _is_plain_header(header: bytes) -> bool:
    if len(header) != 13:
        return False
    width, height = int.from_bytes(header[:4], "big"), int.from_bytes(header[4:8], "big")
    depth, color_type, *_, interlaced = header[8:]
    return (
        0 < width * height <= MAX_PIXELS
        and depth in _DEPTHS_OF_COLOR_TYPE.get(color_type, ())
        and not interlaced
    )
