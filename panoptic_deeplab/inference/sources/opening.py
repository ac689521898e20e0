"""What a source means: images, or the frames of a video."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from panoptic_deeplab.addresses import is_address, parts_of, without_secrets
from panoptic_deeplab.errors import DataError
from panoptic_deeplab.inference.sources.base import Source
from panoptic_deeplab.inference.sources.files import ImageFile, find_images
from panoptic_deeplab.inference.sources.frames import FrameSource, frame_source
from panoptic_deeplab.inference.sources.image_list import ImageList
from panoptic_deeplab.inference.sources.images import SourceImage, read_address, read_source
from panoptic_deeplab.inference.sources.stored import StoredImage, find_stored_images, is_stored

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ImageAddress:
    """An image of the web to predict into a folder, with the face of `ImageFile`.

    Attributes:
        address: its https URL.
    """

    address: str

    version = None  # what an address gives may be another image at any time

    @property
    def path(self) -> Path:
        """Its file's name alone, as lists give it."""
        return Path(Path(parts_of(self.address).path).name or "image")

    @property
    def name(self) -> str:
        return self.path.stem

    def read(self) -> np.ndarray:
        """Fetch it: [H, W, 3] uint8 RGB.

        Raises:
            DataError: it cannot be fetched, or is no image.
        """
        return read_address(self.address)

    def __str__(self) -> str:
        return without_secrets(self.address)


def open_source(
    source: str, left_out: Sequence[Path] = (), every: int = 1, max_frames: int | None = None
) -> Source:
    """Find what is to be predicted into a folder.

    Args:
        source: what `find_images` takes, an https URL of an image, what `find_stored_images`
            takes, or what `frame_source` takes.
        left_out: files that are not taken, such as results.
        every: take every N-th image or frame.
        max_frames: end after so many.

    Raises:
        UsageError: the text is empty, or a package is missing.
        DataError: there is no image, or a video cannot be read.
    """
    frames = frame_source(source, every, max_frames)
    if frames is not None:
        return frames
    return ImageList(_images_at(source, left_out)[::every][:max_frames])


def _images_at(
    source: str, left_out: Sequence[Path]
) -> Sequence[ImageFile | ImageAddress | StoredImage]:
    if is_stored(source):
        return find_stored_images(source)
    return [ImageAddress(source)] if is_address(source) else find_images(source, left_out)


def iterate_source(source: Any, color: str = "rgb") -> Iterator[SourceImage]:
    """Read the images of a source one after the other, each when it is asked for.

    A broken frame of a video is told and passed over.

    Args:
        source: what `open_source` takes; the number of a camera; an array [N, H, W, 3], or another
            iterable of what `read_source` takes.
        color: order of an array's channels, `rgb` or `bgr`.

    Raises:
        UsageError: a package is missing.
        DataError: there is no image, or one cannot be read.
    """
    frames = frame_source(source)
    if frames is not None:
        return _images_of(frames)
    if isinstance(source, str) and is_stored(source):
        return (SourceImage(image.read(), image.path) for image in find_stored_images(source))
    if isinstance(source, (str, Path)) and not is_address(source):
        return (read_source(file.path) for file in find_images(source))
    if isinstance(source, Iterable) and not _is_single(source):
        return (_numbered_image(i, item, color) for i, item in enumerate(source))
    return (read_source(item, color) for item in [source])


def _images_of(source: FrameSource) -> Iterator[SourceImage]:
    for frame in source.frames(lambda: False):
        if isinstance(frame.pixels, DataError):
            _log.warning("passed over: %s", frame.pixels)
        else:
            yield SourceImage(frame.pixels, source.path, frame.index, frame.time)


def _is_single(source: Any) -> bool:
    if isinstance(source, np.ndarray):
        return source.ndim != 4
    return isinstance(source, (str, bytes, bytearray, Image.Image))


def _numbered_image(index: int, source: Any, color: str) -> SourceImage:
    image = read_source(source, color)
    return image if image.path is not None else SourceImage(image.pixels, None, index)
