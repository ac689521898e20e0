"""One image of any kind: a file, an address, bytes, an array."""

from __future__ import annotations

from dataclasses import dataclass
from functools import singledispatch
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from panoptic_deeplab.addresses import is_address, without_secrets
from panoptic_deeplab.errors import DataError, UsageError
from panoptic_deeplab.formats.images import decode_image, read_image, to_rgb
from panoptic_deeplab.inference.sources.files import refuse_empty
from panoptic_deeplab.video.reading import VIDEO_SUFFIXES
from panoptic_deeplab.weights import read_url

COLOR_ORDERS = ("rgb", "bgr")
"""Orders of an array's channels; encoded images define their own."""

_KINDS = "a path, an https URL, bytes, a Pillow image or an array [H, W, 3] uint8"


@dataclass(frozen=True)
class SourceImage:
    """An image in memory.

    Attributes:
        pixels: [H, W, 3] uint8 RGB.
        path: its file, or that of the video it is from; a live stream's name; None where it came
            from memory or the web.
        frame_index: its place in a video or among the images that came without a file, None for a
            single one.
        time: seconds since the first frame of its video; None without one.
    """

    pixels: np.ndarray
    path: Path | None = None
    frame_index: int | None = None
    time: float | None = None


def read_source(source: Any, color: str = "rgb") -> SourceImage:
    """Read one image.

    Args:
        source: a path, an https URL, the bytes of an image file, a Pillow image, or an array of
            uint8: [H, W, 3], gray [H, W] or [H, W, 4] whose alpha is dropped.
        color: order of an array's channels, `rgb` or `bgr`.

    Raises:
        DataError: it cannot be read, or is no image.
        UsageError: there is no such order of colors.
    """
    if color not in COLOR_ORDERS:
        raise UsageError(f"color: expected {' or '.join(COLOR_ORDERS)}, got {color!r:.50}")
    return _read(source, color)


def read_address(url: str) -> np.ndarray:
    """Read an image of the web, under the limits of `weights.read_url`: [H, W, 3] uint8 RGB.

    Raises:
        DataError: it cannot be fetched, or is no image.
    """
    content = read_url(url, "check the address, or give a file")
    return decode_image(content, without_secrets(url))


@singledispatch
def _read(source: Any, color: str) -> SourceImage:
    raise DataError(f"expected an image as {_KINDS}; got {type(source).__name__}")


@_read.register
def _(source: str, color: str) -> SourceImage:
    if is_address(source):
        return SourceImage(read_address(source))
    return _read(Path(refuse_empty(source)), color)


@_read.register
def _(source: Path, color: str) -> SourceImage:
    if source.suffix.lower() in VIDEO_SUFFIXES and source.is_file():
        raise DataError(f"{source}: is a video, not an image; model.predict gives its frames")
    return SourceImage(read_image(source), source)


@_read.register(bytes)
@_read.register(bytearray)
def _(source: bytes | bytearray, color: str) -> SourceImage:
    return SourceImage(decode_image(bytes(source), f"image of {len(source)} bytes"))


@_read.register
def _(source: Image.Image, color: str) -> SourceImage:
    try:
        return SourceImage(to_rgb(source))
    except Exception as error:  # an image that is read late can raise anything
        raise DataError(f"image of mode {source.mode}: cannot be used ({error})") from error


@_read.register
def _(source: np.ndarray, color: str) -> SourceImage:
    channels = source.shape[2] if source.ndim == 3 else 1
    if source.dtype != np.uint8 or not source.size or source.ndim not in (2, 3):
        channels = 0
    if channels not in (1, 3, 4):
        raise DataError(
            "expected an image [H, W, 3], [H, W, 4] or [H, W] of uint8, got "
            f"{source.dtype} {list(source.shape)}"
        )
    planes = source.reshape(*source.shape[:2], channels)[..., :3]
    if color == "bgr":
        planes = planes[..., ::-1]
    return SourceImage(np.ascontiguousarray(np.broadcast_to(planes, (*source.shape[:2], 3))))
