"""PNGs of the plain kinds that labels come in, decoded quickly.

Most time of decoding a label map goes into inflating long runs, which zlib-ng does ten times as
fast as the zlib inside Pillow and OpenCV. What is left, undoing the filter of each row, is cheap
with NumPy for the filters that OpenCV writes; of others OpenCV decodes the whole. The file is
looked through first, for OpenCV says nothing of palettes, and of a broken file only on the C
library's standard error: whatever is not plain and whole is left to Pillow.

Following https://www.w3.org/TR/png-3/.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from zlib_ng import zlib_ng

from panoptic_deeplab.errors import DataError
from panoptic_deeplab.files import open_file

MAX_PIXELS = 1 << 27

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {0: 1, 2: 3, 6: 4}  # grey, RGB, RGBA
_DEPTHS = {0: (8, 16), 2: (8,), 6: (8,)}
_HARMLESS = {b"IHDR", b"IDAT", b"IEND", b"tEXt", b"tIME", b"pHYs", b"gAMA", b"sRGB", b"cHRM"}
_SUB, _UP, _AVERAGE = 1, 2, 3  # filters of a row; 0 is none, 4 is Paeth's


class _Header(NamedTuple):
    """What an IHDR chunk says."""

    width: int
    height: int
    depth: int
    channels: int

    @property
    def pixel_bytes(self) -> int:
        return self.channels * self.depth // 8

    @property
    def size(self) -> int:
        """Bytes of the inflated rows, each with its filter in front."""
        return self.height * (1 + self.width * self.pixel_bytes)


def read_plain_png(path: str | Path) -> np.ndarray | None:
    """The values of a PNG as they are stored, or None where Pillow should have a look.

    Returns:
        [H, W] uint8 or uint16 of a grey PNG; [H, W, 3] or [H, W, 4] uint8 in the order red, green,
        blue, alpha of a coloured one. None for palettes, transparent colours, interlacing, other
        depths, animations, other formats, and for what is broken or huge.

    Raises:
        DataError: the file is missing or cannot be read, or its pixels have changed since it was
            written, as their checksum shows, which Pillow does not look at.
    """
    with open_file(path) as file:
        if file.read(len(_SIGNATURE)) != _SIGNATURE:
            return None
        data = _SIGNATURE + file.read()
    try:
        chunks = dict(_chunks(data))
    except ValueError as error:
        raise DataError(f"{path}: not a readable picture ({error})") from error
    header = _plain_header(chunks.get(b"IHDR", b""))
    if header is None or b"IEND" not in chunks or not chunks.keys() <= _HARMLESS:
        return None
    rows = _inflated(chunks.get(b"IDAT", b""), header)
    if rows is None:
        return None
    if rows[:, 0].max() < _AVERAGE:
        return _as_stored(_unfiltered(rows, header.pixel_bytes), header)
    return _decoded_by_opencv(data, header)


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and content of the chunks up to the first broken one; all pixels come as one.

    Raises:
        ValueError: the checksum of pixels is wrong.
    """
    position, pixels = len(_SIGNATURE), []
    while position + 12 <= len(data):
        kind = data[position + 4 : position + 8]
        end = position + 8 + int.from_bytes(data[position : position + 4], "big")
        if end + 4 > len(data):
            return
        checksum = int.from_bytes(data[end : end + 4], "big")
        if zlib_ng.crc32(memoryview(data)[position + 4 : end]) != checksum:
            if kind == b"IDAT":
                raise ValueError("the checksum of its pixels is wrong; the file is damaged")
            return
        content = data[position + 8 : end]
        if kind == b"IDAT":
            pixels.append(content)
        elif kind == b"IEND":
            yield b"IDAT", b"".join(pixels)
            yield kind, content
            return
        else:
            yield kind, content
        position = end + 4


def _plain_header(content: bytes) -> _Header | None:
    if len(content) != 13:
        return None
    width, height = int.from_bytes(content[:4], "big"), int.from_bytes(content[4:8], "big")
    depth, color_type, *_, interlaced = content[8:]
    plain = depth in _DEPTHS.get(color_type, ()) and not interlaced
    if not plain or not 0 < width * height <= MAX_PIXELS:
        return None
    return _Header(width, height, depth, _CHANNELS[color_type])


def _inflated(pixels: bytes, header: _Header) -> np.ndarray | None:
    """[H, 1 + W * bytes] uint8 rows as they were compressed, None where they are not whole."""
    try:
        data = zlib_ng.decompressobj().decompress(pixels, header.size)
    except zlib_ng.error:
        return None
    if len(data) < header.size:
        return None
    return np.frombuffer(data, np.uint8).reshape(header.height, -1)


def _unfiltered(rows: np.ndarray, pixel_bytes: int) -> np.ndarray:
    """[H, W, bytes] uint8: each row added to what its filter predicts, modulo 256.

    Rows that are 0 throughout, most of those of a mask, are not looked at twice.
    """
    filters, filtered = rows[:, 0], rows[:, 1:].reshape(len(rows), -1, pixel_bytes)
    changes = filtered.any(axis=(1, 2))
    values = np.zeros(filtered.shape, np.uint8)
    plain, left = changes & (filters == 0), changes & (filters == _SUB)
    values[plain] = filtered[plain]
    if left.any():
        values[left] = _sums_from_the_left(filtered[left])
    for y in np.flatnonzero(filters == _UP):
        values[y] = filtered[y] + values[y - 1] if y else filtered[y]
    return values


def _sums_from_the_left(rows: np.ndarray) -> np.ndarray:
    """Of each pixel and those before it, [N, W, bytes], modulo 256.

    Adding whole columns takes NumPy two thirds of the time of accumulating along the rows.
    """
    columns = cv2.transpose(rows)
    for before, column in pairwise(columns):
        column += before
    return cv2.transpose(columns).reshape(rows.shape)


def _as_stored(values: np.ndarray, header: _Header) -> np.ndarray:
    if header.depth == 16:
        return values.view(">u2")[..., 0].astype(np.uint16)
    return values if header.channels > 1 else values[..., 0]


def _decoded_by_opencv(data: bytes, header: _Header) -> np.ndarray | None:
    values = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if values is None or header.channels == 1:
        return values
    to_rgb = cv2.COLOR_BGR2RGB if header.channels == 3 else cv2.COLOR_BGRA2RGBA
    return cv2.cvtColor(values, to_rgb, dst=values)
