"""Images and id maps on disk."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from panoptic_deeplab.errors import DataError, reason_of
from panoptic_deeplab.files import open_file, replacing
from panoptic_deeplab.formats.png import read_plain_png

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".ppm"})

_FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "TIFF", "PPM")  # Pillow's names; some others run programs
_OPENCV_ORDER = {3: cv2.COLOR_RGB2BGR, 4: cv2.COLOR_RGBA2BGRA}
_TO_RGB = {2: cv2.COLOR_GRAY2RGB, 3: cv2.COLOR_RGBA2RGB}  # by the number of dimensions
_PNG_DEPTH = 24  # offset of the bits per channel in the first chunk of a PNG


def read_image(path: str | Path) -> np.ndarray:
    """Read an image as [H, W, 3] uint8 RGB, turned upright as its EXIF tag says.

    Gray, palette and CMYK images are converted, an alpha channel is dropped, 16-bit values are
    reduced to their upper byte. Of several images in a file the first counts.

    Raises:
        DataError: the file is missing, not an image, truncated, of floating-point or other
            values without an obvious color, or so large (over 179 million pixels) that it may be
            meant to fill the memory.
    """
    values = read_plain_png(path)
    if values is not None and values.dtype == np.uint8:
        return values if values.shape[2:] == (3,) else cv2.cvtColor(values, _TO_RGB[values.ndim])
    with decoded(path) as image:
        return to_rgb(image)


def decode_image(content: bytes, name: str) -> np.ndarray:
    """Decode an image file's bytes as `read_image` does; `name` is for errors.

    Raises:
        DataError: as `read_image`.
    """
    with _decoding(io.BytesIO(content), name) as image:
        return to_rgb(image)


def to_rgb(image: Image.Image) -> np.ndarray:
    """Convert a Pillow image to [H, W, 3] uint8 RGB, turned upright as its EXIF tag says.

    Raises:
        ValueError: its values are floating-point numbers, which have no obvious color.
    """
    return np.asarray(_rgb(_upright(image)))


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
                f"of mode {image.mode} in {image.format}"
            )
        rgba = np.array(image.convert("RGBA"))
    with open_file(path) as file:
        depth = file.read(_PNG_DEPTH + 1)[_PNG_DEPTH]
    if depth != 8:  # Pillow would drop the lower bytes
        raise DataError(f"{path}: expected a panoptic PNG of 8 bits, got one of {depth} bits")
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
            values = np.asarray(image)
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
        return np.asarray(image.convert("L"))


def _ids(rgba: np.ndarray) -> np.ndarray:
    """[H, W] int32 in the memory of the array, whose alpha channel is lost."""
    ids = rgba.view("<i4")[..., 0]
    ids &= 0xFFFFFF
    return ids


def write_ids(path: str | Path, ids: np.ndarray) -> None:
    """Write ids in 0..2^24-1; `read_ids` is the inverse."""
    write_image(path, ids_to_rgb(ids))


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
    if image.ndim == 3:
        image = cv2.cvtColor(image, _OPENCV_ORDER[image.shape[2]])
    done, data = cv2.imencode(Path(path).suffix, image, [cv2.IMWRITE_JPEG_QUALITY, jpeg_quality])
    if not done:
        raise DataError(f"{path}: cannot be encoded as {Path(path).suffix}")
    with replacing(path) as temporary:
        temporary.write_bytes(data.tobytes())


@contextmanager
def decoded(path: str | Path) -> Iterator[Image.Image]:
    """Decode an image; whatever fails with it inside the block becomes a DataError too."""
    with open_file(path) as file, _decoding(file, str(path)) as image:
        yield image


@contextmanager
def _decoding(file: BinaryIO, name: str) -> Iterator[Image.Image]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # odd metadata, and images that are merely large
        try:
            image = Image.open(file, formats=_FORMATS)
            image.load()
            if 0 in image.size:
                raise ValueError("it has no pixels")
            yield image
        except DataError:
            raise
        except UnidentifiedImageError as error:
            known = ", ".join(_FORMATS)
            raise DataError(f"{name}: not a readable image (none of {known})") from error
        except Exception as error:  # a broken image can raise anything
            raise DataError(f"{name}: not a readable image ({reason_of(error)})") from error


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # a broken EXIF block, which does not make the pixels wrong
        return image


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode == "F":
        raise ValueError("floating-point values have no brightness of their own")
    if image.mode.startswith("I"):
        wide = np.asarray(image).astype(np.int64)
        image = Image.fromarray(np.clip(wide >> 8, 0, 255).astype(np.uint8))
    return image.convert("RGB")
