"""A fast decoder for the plain kinds of PNG that labels and images come in.

Most of the time of decoding a label map goes into inflating long runs, which zlib-ng does ten times
as fast as the zlib inside OpenCV; for a photo it is two or three times. What is left, undoing the
filter of each row, is cheap with NumPy for the filters that OpenCV writes; where there are others
OpenCV undoes them all, given the rows uncompressed. The file is looked through first, for OpenCV
says nothing of palettes, and of a broken file only on the C library's standard error: whatever is
not plain and whole is left to Pillow.

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

MAX_PIXELS = 1 << 25  # beyond 8K (7680 x 4320) Pillow, which needs less memory, is as good

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {0: 1, 2: 3, 6: 4}  # gray, RGB, RGBA
_DEPTHS = {0: (8, 16), 2: (8,), 6: (8,)}
_HARMLESS = {b"IHDR", b"IDAT", b"IEND", b"tEXt", b"tIME", b"pHYs", b"gAMA", b"sRGB", b"cHRM"}
_ORIENTED = (b"Raw profile type exif\0", b"XML:com.adobe.xmp\0")  # texts that may turn an image
_SPARSE = 1 / 16  # fraction of bytes that are not 0 up to which sums go by runs
_SUB, _UP, _AVERAGE, _PAETH = 1, 2, 3, 4  # filters of a row; 0 is none


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
    """Read the values that a PNG stores, or None for a PNG that Pillow has to decode.

    Returns:
        [H, W] uint8 or uint16 of a gray PNG; [H, W, 3] or [H, W, 4] uint8 in the order red, green,
        blue, alpha of a colored one. None for palettes, transparent colors, interlacing, other
        depths, animations, EXIF data, other formats, and for what is broken or huge.

    Raises:
        DataError: the file is missing or cannot be read, or its pixels are too few or have changed
            since it was written, as their checksum shows, which Pillow does not look at.
    """
    with open_file(path) as file:
        if file.read(len(_SIGNATURE)) != _SIGNATURE:
            return None
        data = _SIGNATURE + file.read()
    try:
        found = list(_chunks(data))
        chunks = dict(found)
        header = _plain_header(chunks.get(b"IHDR", b""))
        if header is None or b"IEND" not in chunks or not all(_is_harmless(*one) for one in found):
            return None
        rows = _inflated(chunks.get(b"IDAT", b""), header)
    except ValueError as error:
        raise DataError(f"{path}: not a readable image ({error})") from error
    if rows is None or rows[:, 0].max() > _PAETH:
        return None
    if rows[:, 0].max() < _AVERAGE:
        return _as_stored(_unfiltered(rows, header.pixel_bytes), header)
    return _unfiltered_by_opencv(rows, header, chunks[b"IHDR"])


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield kind and content of the chunks up to the first broken one; all pixels come as one.

    Raises:
        ValueError: the checksum of pixels is wrong.
    """
    position, view, pixels = len(_SIGNATURE), memoryview(data), []
    while position + 12 <= len(data):
        kind = data[position + 4 : position + 8]
        end = position + 8 + int.from_bytes(data[position : position + 4], "big")
        if end + 4 > len(data):
            return
        checksum = int.from_bytes(data[end : end + 4], "big")
        if zlib_ng.crc32(view[position + 4 : end]) != checksum:
            if kind == b"IDAT":
                raise ValueError("the checksum of its pixels is wrong; the file is damaged")
            return
        if kind == b"IDAT":
            pixels.append(view[position + 8 : end])
        elif kind == b"IEND":
            yield b"IDAT", b"".join(pixels)
            yield kind, b""
            return
        else:
            yield kind, data[position + 8 : end]
        position = end + 4


def _is_harmless(kind: bytes, content: bytes) -> bool:
    return kind in _HARMLESS and not (kind == b"tEXt" and content.startswith(_ORIENTED))


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
    """[H, 1 + W * bytes] uint8 rows as they were compressed, None where their stream is broken.

    Raises:
        ValueError: the stream is whole and too short; Pillow would leave the missing rows black.
    """
    stream = zlib_ng.decompressobj()
    try:
        data = stream.decompress(pixels, header.size)
    except zlib_ng.error:
        return None
    if len(data) < header.size:
        if stream.eof:
            raise ValueError(f"its pixels end after {len(data)} of {header.size} bytes")
        return None
    return np.frombuffer(data, np.uint8).reshape(header.height, -1)


def _unfiltered(rows: np.ndarray, pixel_bytes: int) -> np.ndarray:
    """[H, W, bytes] uint8: each row added to what its filter predicts, modulo 256.

    Rows that are 0 throughout, as most rows of a mask are, need no work.
    """
    filters, filtered = rows[:, 0], rows[:, 1:].reshape(len(rows), -1, pixel_bytes)
    if (filters == _SUB).all():
        return _sums_from_the_left(filtered)
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
    """[N, W, bytes] sums of each pixel and the pixels before it in its row, modulo 256."""
    changes = rows != 0
    if np.count_nonzero(changes) > _SPARSE * changes.size:
        return _sums_by_columns(rows)
    return _sums_by_runs(rows, changes)


def _sums_by_columns(rows: np.ndarray) -> np.ndarray:
    """Add whole columns, which takes NumPy two thirds of the time of accumulating along rows."""
    columns = cv2.transpose(rows)
    for before, column in pairwise(columns):
        column += before
    return cv2.transpose(columns).reshape(rows.shape)


def _sums_by_runs(rows: np.ndarray, changes: np.ndarray) -> np.ndarray:
    """Add only where something changes, and repeat the sum up to the next change."""
    changes[:, 0, 0] = True  # each row begins anew
    count, width, pixel_bytes = rows.shape
    starts = np.flatnonzero(changes) // pixel_bytes
    starts = starts[np.diff(starts, prepend=-1) > 0]
    differences = rows.reshape(-1, pixel_bytes)[starts]
    sums = np.cumsum(differences, axis=0, dtype=np.uint8)
    begins = np.flatnonzero(starts % width == 0)
    earlier_rows = (sums - differences)[begins]
    sums -= np.repeat(earlier_rows, np.diff(begins, append=len(starts)), axis=0)
    lengths = np.diff(starts, append=count * width)
    channels = [np.repeat(channel, lengths).reshape(count, width) for channel in sums.T]
    return cv2.merge(channels).reshape(rows.shape)


def _as_stored(values: np.ndarray, header: _Header) -> np.ndarray:
    if header.depth == 16:
        return values.view(">u2")[..., 0].astype(np.uint16)
    return values if header.channels > 1 else values[..., 0]


def _unfiltered_by_opencv(rows: np.ndarray, header: _Header, content: bytes) -> np.ndarray | None:
    """Decode by OpenCV a PNG with the same header whose rows are not compressed."""
    chunks = ((b"IHDR", content), (b"IDAT", zlib_ng.compress(rows, 0)), (b"IEND", b""))
    data = _SIGNATURE + b"".join(part for chunk in chunks for part in _framed(*chunk))
    values = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if values is None or header.channels == 1:
        return values
    to_rgb = cv2.COLOR_BGR2RGB if header.channels == 3 else cv2.COLOR_BGRA2RGBA
    return cv2.cvtColor(values, to_rgb, dst=values)


def _framed(kind: bytes, content: bytes) -> tuple[bytes, ...]:
    """The parts of a chunk: length, kind, content, checksum."""
    checksum = zlib_ng.crc32(content, zlib_ng.crc32(kind))
    return len(content).to_bytes(4, "big"), kind, content, checksum.to_bytes(4, "big")
