"""Image files decoded by Pillow, within a budget of memory that their size sets.

A file of a few kilobytes can declare any size and depth. What decoding would take is estimated from
the header, before a pixel is decoded, and refused where it is out of proportion to the file.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, UnidentifiedImageError

from panoptic_deeplab.errors import DataError, reason_of
from panoptic_deeplab.file_kinds import HEAD_BYTES, mistaken_for
from panoptic_deeplab.files import open_file

_FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "TIFF", "PPM")  # Pillow's names; some others run programs

# Decoding may take a fixed amount, enough for blank images of 60 million pixels, and for each byte
# of the file four times what DEFLATE makes of it, but no more than the last of these.
_FREE_BYTES = 640 << 20
_BYTES_PER_FILE_BYTE = 4096
_MAX_BYTES = 3 << 30

# Bytes of memory per pixel.
_RGB_BYTES = 3
_WEBP_BYTES = 16  # two canvases, the frame and its coded form
_PROGRESSIVE_BYTES = 2  # and band: the coefficients of a progressive JPEG are kept until its end

_STRIP_PIXELS = 1 << 20
_BITS_PER_PNG_BYTE = 8 * 1032

# Pillow takes memory in blocks of 16 MB, which the C library keeps when an image is freed:
# 200 MB of one of 48 megapixels. From 32 MB on it gives each block back.
Image.core.set_block_size(64 << 20)

# Tags of a TIFF.
_WIDTH, _HEIGHT, _BITS, _STRIP_ROWS, _TILE_WIDTH, _TILE_HEIGHT = 256, 257, 258, 278, 322, 323
_ORIENTATION = 0x0112  # tag of EXIF


@contextmanager
def opened(file: BinaryIO, name: str) -> Iterator[Image.Image]:
    """Open an image whose pixels are decoded when they are first used.

    Args:
        file: its content.
        name: for errors.

    Raises:
        DataError: it is no image or a broken one, or would take too much memory; also where
            anything fails inside the block.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # odd metadata, and images that are merely large
        try:
            file_bytes = file.seek(0, os.SEEK_END)
            file.seek(0)
            image = Image.open(file, formats=_FORMATS)
            if 0 in image.size:
                raise ValueError("it has no pixels")
            _check_memory(image, file_bytes)
            _check_rows(image, file_bytes)
            yield image
        except DataError:
            raise
        except UnidentifiedImageError as error:
            file.seek(0)
            found = mistaken_for(file.read(HEAD_BYTES)) or f"none of {', '.join(_FORMATS)}"
            raise DataError(f"{name}: not a readable image ({found})") from error
        except Exception as error:  # a broken image can raise anything
            raise DataError(f"{name}: not a readable image ({reason_of(error)})") from error


@contextmanager
def decoded(path: str | Path) -> Iterator[Image.Image]:
    """Decode an image file; errors as `opened`."""
    with open_file(path) as file, opened(file, str(path)) as image:
        image.load()
        yield image


def array_of(
    image: Image.Image, convert: Callable[[Image.Image], Image.Image] = lambda strip: strip
) -> np.ndarray:
    """Make an array [H, W] or [H, W, C] of a converted image.

    Large images are converted strip by strip, so that no second image of their size is needed.
    """
    width, height = image.size
    rows = max(1, _STRIP_PIXELS // width)
    if rows >= height:
        return np.asarray(convert(image))
    first = np.asarray(convert(image.crop((0, 0, width, 1))))
    values = np.empty((height, *first.shape[1:]), first.dtype)
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        values[top:bottom] = np.asarray(convert(image.crop((0, top, width, bottom))))
    return values


def orientation_of(image: Image.Image) -> int:
    """The EXIF orientation of a decoded image, 1..8; 1 (upright) where there is none.

    A broken block of EXIF data counts as none: it does not make the pixels wrong.
    """
    try:
        value = image.getexif().get(_ORIENTATION)
    except Exception:  # anything can be raised
        value = None
    return _valid_orientation(value)


def decode(image: Image.Image) -> int:
    """Decode the pixels and return the EXIF orientation in which they were stored, 1..8.

    Pillow turns a TIFF upright meanwhile, and nothing else.
    """
    in_tiff = image.tag_v2.get(_ORIENTATION) if image.format == "TIFF" else None
    image.load()
    return orientation_of(image) if in_tiff is None else _valid_orientation(in_tiff)


def _valid_orientation(value: Any) -> int:
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _check_memory(image: Image.Image, file_bytes: int) -> None:
    """Raise ValueError where decoding would take too much memory for a file of that size."""
    needed = _needed_memory(image)
    allowed = min(_FREE_BYTES + _BYTES_PER_FILE_BYTE * file_bytes, _MAX_BYTES)
    if needed > allowed:
        raise ValueError(
            f"it declares {image.width} x {image.height} pixels, mode {image.mode}, which would "
            f"take {needed >> 20} MB to decode; for a file of {file_bytes} bytes at most "
            f"{allowed >> 20} MB are allowed; cut a genuine image into parts"
        )


def _needed_memory(image: Image.Image) -> int:
    """Bytes at the peak of decoding an image and converting it to RGB."""
    stored = _stored_bytes(image.mode)
    decoder = _WEBP_BYTES if image.format == "WEBP" else 0
    if image.info.get("progressive"):
        decoder = _PROGRESSIVE_BYTES * len(image.getbands())
    per_pixel = max(stored + decoder, 2 * stored + _RGB_BYTES)
    return image.width * image.height * per_pixel + _block_memory(image)


def _stored_bytes(mode: str) -> int:
    """Bytes in which Pillow keeps a pixel."""
    if mode in ("1", "L", "P"):
        return 1
    return 2 if mode.startswith("I;16") else 4


def _block_memory(image: Image.Image) -> int:
    """Bytes of one decompressed strip or tile of a TIFF, which can be larger than the image."""
    if image.format != "TIFF":
        return 0
    tags = image.tag_v2
    width = tags.get(_TILE_WIDTH, tags[_WIDTH])
    height = tags.get(_TILE_HEIGHT, min(tags.get(_STRIP_ROWS, tags[_HEIGHT]), tags[_HEIGHT]))
    return width * height * sum(tags.get(_BITS, (1,))) // 8


def _check_rows(image: Image.Image, file_bytes: int) -> None:
    """Raise ValueError where rows are missing, which Pillow would leave black.

    A TIFF can have fewer strips than rows. Of a PNG, DEFLATE makes at most 1032 bytes of one.
    """
    if image.format == "TIFF":
        height, end = image.tag_v2[_HEIGHT], max(extents[3] for _, extents, *_ in image.tile)
        if end < height:
            raise ValueError(f"its pixels end at row {end} of {height}")
    if image.format == "PNG" and image.width * image.height > _BITS_PER_PNG_BYTE * file_bytes:
        raise ValueError(
            f"it declares {image.width} x {image.height} pixels, which do not fit into its "
            f"{file_bytes} bytes"
        )
