"""Pictures and id maps on disk."""

from __future__ import annotations

import struct
import warnings
import zlib
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageOps

from panoptic_deeplab.errors import DataError
from panoptic_deeplab.files import replacing

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".ppm"})

_DECODING_ERRORS = (
    OSError,
    ValueError,
    SyntaxError,  # what Pillow raises for broken PNG chunks
    EOFError,
    IndexError,
    TypeError,
    KeyError,
    OverflowError,
    MemoryError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)


def read_image(path: str | Path) -> np.ndarray:
    """A picture as [H, W, 3] uint8 RGB, turned upright as its EXIF tag says.

    Grey, palette and CMYK pictures are converted, an alpha channel is dropped, 16-bit values are
    reduced to their upper byte.

    Raises:
        DataError: the file is missing, not a picture, truncated, or so large (over 179
            million pixels) that it may be meant to fill the memory.
    """
    return np.asarray(_upright_rgb(_decode(path)))


def read_ids(path: str | Path) -> np.ndarray:
    """The segment ids of a COCO panoptic PNG: [H, W] int32, id = R + 256 G + 65536 B.

    Raises:
        DataError: not readable, or not an RGB (or RGBA) picture of 8 bits.
    """
    image = _decode(path)
    if image.mode not in ("RGB", "RGBA"):
        raise DataError(
            f"{path}: expected an RGB panoptic PNG (id = R + 256 G + 65536 B), got a picture of "
            f"mode {image.mode}"
        )
    rgba = cv2.cvtColor(np.asarray(image.convert("RGB")), cv2.COLOR_RGB2RGBA)
    return (rgba.view("<u4")[..., 0] & 0xFFFFFF).astype(np.int32)


def write_ids(path: str | Path, ids: np.ndarray) -> None:
    """Inverse of `read_ids`, for ids in 0..2^24-1."""
    rgba = np.ascontiguousarray(ids, "<u4")[..., None].view(np.uint8)
    write_image(path, rgba[..., :3])


def write_image(path: str | Path, image: np.ndarray) -> None:
    """Writes an RGB or grey uint8 picture; the suffix of `path` chooses the format."""
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if image.ndim == 3 else image
    done, data = cv2.imencode(Path(path).suffix, bgr)
    if not done:
        raise DataError(f"{path}: cannot be encoded as {Path(path).suffix}")
    with replacing(path) as temporary:
        temporary.write_bytes(data.tobytes())


def _decode(path: str | Path) -> Image.Image:
    try:
        with open(path, "rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd metadata, and pictures that are merely large
            image = Image.open(file)
            image.load()
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file") from error
    except _DECODING_ERRORS as error:
        raise DataError(f"{path}: not a readable picture ({_one_line(error)})") from error
    return image


def _upright_rgb(image: Image.Image) -> Image.Image:
    with suppress(*_DECODING_ERRORS):  # a broken EXIF block does not make the pixels wrong
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):
        wide = np.asarray(image).astype(np.int64)
        image = Image.fromarray(np.clip(wide >> 8, 0, 255).astype(np.uint8))
    return image.convert("RGB")


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
