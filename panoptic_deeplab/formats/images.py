"""Images and id maps on disk."""

from __future__ import annotations

import io
from pathlib import Path
from typing import BinaryIO, NamedTuple

import cv2
import numpy as np
from PIL import Image

from panoptic_deeplab.errors import DataError, error_context
from panoptic_deeplab.files import open_file, replacing
from panoptic_deeplab.formats.brightness import all_bits, may_be_black, to_eight_bits
from panoptic_deeplab.formats.decoding import (
    array_of,
    decode,
    decoded,
    opened,
    orientation_of,
)
from panoptic_deeplab.formats.png import read_plain_png

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".ppm"})

_OPENCV_ORDER = {3: cv2.COLOR_RGB2BGR, 4: cv2.COLOR_RGBA2BGRA}
_TO_RGB = {2: cv2.COLOR_GRAY2RGB, 3: cv2.COLOR_RGBA2RGB}  # by the number of dimensions
_PNG_DEPTH = 24  # offset of the bits per channel in the first chunk of a PNG


class OrientedImage(NamedTuple):
    """An image and how its file stores it.

    Attributes:
        pixels: [H, W, 3] uint8 RGB, upright.
        orientation: EXIF orientation of the stored pixels, 1..8; 1 if they are upright.
    """

    pixels: np.ndarray
    orientation: int


class Turn(NamedTuple):
    """How a stored image becomes upright: transposed first, then flipped along y and x."""

    name: str
    transpose: bool
    flip_y: bool
    flip_x: bool


TURNS = {
    1: Turn("upright", False, False, False),
    2: Turn("mirrored", False, False, True),
    3: Turn("180 degrees", False, True, True),
    4: Turn("upside down and mirrored", False, True, False),
    5: Turn("90 degrees clockwise and mirrored", True, False, False),
    6: Turn("90 degrees clockwise", True, False, True),
    7: Turn("90 degrees counterclockwise and mirrored", True, True, True),
    8: Turn("90 degrees counterclockwise", True, True, False),
}
"""By EXIF orientation."""


def read_image(path: str | Path) -> np.ndarray:
    """Read an image as [H, W, 3] uint8 RGB, turned upright as its EXIF tag says.

    Gray, palette and CMYK images are converted, an alpha channel is dropped, values of more than 8
    bits are scaled (`brightness.to_eight_bits`). Of several images in a file the first counts.

    Raises:
        DataError: the file is missing, not an image, truncated, of floating-point or other
            values without an obvious color; or it has over 179 million pixels, or so many for its
            size that it may be meant to fill the memory.
    """
    return read_oriented_image(path).pixels


def read_oriented_image(path: str | Path) -> OrientedImage:
    """As `read_image`, with the orientation from which the image was turned."""
    values = read_plain_png(path)
    if values is not None:
        return OrientedImage(_colors_of(values, str(path)), 1)
    with open_file(path) as file:
        return _read(file, str(path))


def read_size(path: str | Path) -> tuple[tuple[int, int], int]:
    """Read the upright (height, width) of an image and its EXIF orientation from its header alone.

    Raises:
        DataError: the file is missing or not an image.
    """
    with open_file(path) as file, opened(file, str(path)) as image:
        size, orientation = (image.height, image.width), orientation_of(image)
        is_turned = image.format == "TIFF"  # Pillow gives the size that a TIFF has when decoded
        return size if is_turned else turned_size(size, orientation), orientation


def decode_image(content: bytes, name: str) -> np.ndarray:
    """Decode an image file's bytes as `read_image` does; `name` is for errors.

    Raises:
        DataError: as `read_image`.
    """
    return _read(io.BytesIO(content), name).pixels


def encoded_size(content: bytes, name: str) -> tuple[int, int]:
    """(height, width) of an image file's bytes as stored, from its header; `name` is for errors.

    Raises:
        DataError: they are no image.
    """
    with opened(io.BytesIO(content), name) as image:
        return image.height, image.width


def to_rgb(image: Image.Image) -> np.ndarray:
    """Convert a Pillow image to [H, W, 3] uint8 RGB, turned upright as its EXIF tag says.

    Raises:
        ValueError: its values are floating-point numbers, which have no obvious color.
    """
    pixels = _rgb(image, "image")  # first of all, for Pillow turns a TIFF when it decodes it
    return _upright(pixels, orientation_of(image))


def turned_size(size: tuple[int, int], orientation: int) -> tuple[int, int]:
    """Return the (height, width) that an image of that size has when it is turned."""
    return size[::-1] if TURNS[orientation].transpose else size


def read_ids(path: str | Path) -> np.ndarray:
    """Read the segment ids of a COCO panoptic PNG: [H, W] int32, id = R + 256 G + 65536 B.

    Raises:
        DataError: not readable, or not an RGB (or RGBA) PNG of 8 bits.
    """
    colors = read_plain_png(path)
    if colors is not None and colors.ndim == 3:
        rgba = colors if colors.shape[2] == 4 else cv2.cvtColor(colors, cv2.COLOR_RGB2RGBA)
        return _ids(rgba)
    with decoded(path) as image:
        if image.format != "PNG" or image.mode not in ("RGB", "RGBA"):
            raise DataError(
                f"{path}: expected an RGB panoptic PNG (id = R + 256 G + 65536 B), got an image "
                f"of mode {image.mode} in {image.format}",
                kind="no map of ids",
            )
        rgba = array_of(image, lambda strip: strip.convert("RGBA"))
    with open_file(path) as file:
        depth = file.read(_PNG_DEPTH + 1)[_PNG_DEPTH]
    if depth != 8:  # Pillow would drop the lower bytes
        raise DataError(
            f"{path}: expected a panoptic PNG of 8 bits, got one of {depth} bits",
            kind="no map of ids",
        )
    return _ids(rgba)


def read_label_map(path: str | Path) -> np.ndarray:
    """Read an image with one channel as [H, W] of the whole numbers that it stores.

    A palette image gives its indices, as label files mean it; an image of 1 bit gives uint8.

    Raises:
        DataError: the file is missing, not a readable image, has several channels, or values that
            are not whole numbers.
    """
    values = read_plain_png(path)
    if values is None:
        with decoded(path) as image:
            values = array_of(image)
    if values.ndim != 2 or values.dtype.kind not in "biu":
        found = f"{values.shape[2]} channels" if values.ndim == 3 else f"{values.dtype} values"
        raise DataError(
            f"{path}: expected an image with one channel of whole-number labels, got {found}"
        )
    return values.astype(np.uint8) if values.dtype == bool else values


def read_mask(path: str | Path) -> np.ndarray:
    """Read a mask: [H, W] uint8 gray values; all that is not black belongs to the mask.

    Raises:
        DataError: the file is missing or not a readable image.
    """
    values = read_plain_png(path)
    if values is not None and values.ndim == 2 and values.dtype == np.uint8:
        return values
    with decoded(path) as image:
        return array_of(image, lambda strip: strip.convert("L"))


def _ids(rgba: np.ndarray) -> np.ndarray:
    """[H, W] int32 in the memory of the array, whose alpha channel is lost."""
    ids = rgba.view("<i4")[..., 0]
    return np.bitwise_and(ids, 0xFFFFFF, out=ids if ids.flags.writeable else None)


def write_ids(path: str | Path, ids: np.ndarray) -> None:
    """Write ids in 0..2^24-1; `read_ids` is the inverse."""
    write_image(path, ids_to_rgb(ids))


def encode_ids(ids: np.ndarray) -> bytes:
    """Return the content of the PNG that `write_ids` writes."""
    return encode_image(ids_to_rgb(ids))


def decode_ids(content: bytes, name: str) -> np.ndarray:
    """Decode the content of such a PNG: [H, W] int32 ids; `name` is for errors.

    Raises:
        DataError: it is no RGB PNG.
    """
    with opened(io.BytesIO(content), name) as image:
        if image.format != "PNG" or image.mode != "RGB":
            raise DataError(
                f"{name}: expected an RGB panoptic PNG (id = R + 256 G + 65536 B), got an image "
                f"of mode {image.mode} in {image.format}"
            )
        return _ids(array_of(image, lambda strip: strip.convert("RGBA")))


def ids_to_rgb(ids: np.ndarray) -> np.ndarray:
    """Encode [H, W] ids in 0..2^24-1 as [H, W, 3] uint8: id = R + 256 G + 65536 B."""
    rgba = np.ascontiguousarray(ids, "<u4")[..., None].view(np.uint8)
    return cv2.cvtColor(rgba, cv2.COLOR_RGBA2RGB)


def write_image(path: str | Path, image: np.ndarray, jpeg_quality: int = 95) -> None:
    """Write an RGB, RGBA or gray image; the suffix of `path` chooses the format.

    Args:
        path: the file to write.
        image: [H, W, 3], [H, W, 4] or [H, W] uint8; for PNG also uint16.
        jpeg_quality: 0..100, of a JPEG.
    """
    with error_context(path):
        data = encode_image(image, Path(path).suffix, jpeg_quality)
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def encode_image(image: np.ndarray, suffix: str = ".png", jpeg_quality: int = 95) -> bytes:
    """Return the content of the file that `write_image` writes.

    Raises:
        DataError: no format has that suffix, or the format has no such images, or none of that
            size.
    """
    if not cv2.haveImageWriter(f"image{suffix}"):
        raise DataError(f"expected an image file such as .png or .jpg, got {suffix!r:.20}")
    if image.ndim == 3:
        image = cv2.cvtColor(image, _OPENCV_ORDER[image.shape[2]])
    done, data = cv2.imencode(suffix, image, [cv2.IMWRITE_JPEG_QUALITY, jpeg_quality])
    if not done:
        height, width = image.shape[:2]
        raise DataError(f"an image of {height}x{width} cannot be encoded as {suffix}")
    return data.tobytes()


def _read(file: BinaryIO, name: str) -> OrientedImage:
    with opened(file, name) as image:
        check_depth = may_be_black(image)
        orientation = decode(image)
        pixels = all_bits(image, file, name) if check_depth else None
        if pixels is None:
            pixels = _rgb(image, name)
        # OpenCV turns what Pillow turns, a TIFF; of it, nothing is left to do.
        return OrientedImage(_upright(pixels, orientation_of(image)), orientation)


def _rgb(image: Image.Image, name: str) -> np.ndarray:
    """[H, W, 3] uint8 of an image as Pillow decodes it."""
    if image.mode == "F":
        raise ValueError("floating-point values have no brightness of their own")
    if image.mode.startswith("I"):
        return _colors_of(array_of(image), name)
    if image.mode == "RGB":
        return array_of(image)
    return array_of(image, lambda strip: strip.convert("RGB"))


def _colors_of(values: np.ndarray, name: str) -> np.ndarray:
    """[H, W, 3] uint8 of a gray image [H, W] of any depth or colors [H, W, 3] or [H, W, 4]."""
    if values.dtype != np.uint8:
        values = to_eight_bits(values, name)
    return values if values.shape[2:] == (3,) else cv2.cvtColor(values, _TO_RGB[values.ndim])


def _upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Turn stored pixels [H, W, 3] as their EXIF orientation says."""
    turn = TURNS[orientation]
    if turn.transpose:
        pixels = pixels.swapaxes(0, 1)
    return np.ascontiguousarray(pixels[:: -1 if turn.flip_y else 1, :: -1 if turn.flip_x else 1])
