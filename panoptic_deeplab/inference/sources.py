"""Input of a model: one image of any kind, or a source of many that are read one by one."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, singledispatch
from itertools import chain, count
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from panoptic_deeplab.errors import DataError, UsageError
from panoptic_deeplab.file_names import readable
from panoptic_deeplab.files import files_below
from panoptic_deeplab.formats.images import IMAGE_SUFFIXES, decode_image, read_image, to_rgb
from panoptic_deeplab.result import OVERLAY_ENDING
from panoptic_deeplab.weights import read_url

COLOR_ORDERS = ("rgb", "bgr")
"""Orders of an array's channels; encoded images define their own."""

_KINDS = "a path, an https URL, bytes, a Pillow image or an array [H, W, 3] uint8"


@dataclass(frozen=True)
class SourceImage:
    """An image in memory.

    Attributes:
        pixels: [H, W, 3] uint8 RGB.
        path: its file, None where it came from memory or the web.
        frame_index: its place among the images that came without a file, None for a single one.
    """

    pixels: np.ndarray
    path: Path | None = None
    frame_index: int | None = None


@dataclass(frozen=True)
class ImageFile:
    """An image to predict into a folder of results.

    Attributes:
        path: its file.
        name: its path below the folder that was asked for, without suffix; unique, and in UTF-8
            whatever the file's own name is in.
    """

    path: Path
    name: str


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


def iterate_source(source: Any, color: str = "rgb") -> Iterator[SourceImage]:
    """Read the images of a source one after the other, each when it is asked for.

    Args:
        source: a file, a folder or a pattern; an https URL; an array [N, H, W, 3], or another
            iterable of what `read_source` takes.
        color: order of an array's channels, `rgb` or `bgr`.

    Raises:
        DataError: there is no image, or one cannot be read.
    """
    if isinstance(source, (str, Path)) and not _is_url(source):
        return (read_source(file.path) for file in find_images(source))
    if isinstance(source, Iterable) and not _is_single(source):
        return (_numbered_image(i, item, color) for i, item in enumerate(source))
    return (read_source(item, color) for item in [source])


def _is_single(source: Any) -> bool:
    if isinstance(source, np.ndarray):
        return source.ndim != 4
    return isinstance(source, (str, bytes, bytearray, Image.Image))


def _numbered_image(index: int, source: Any, color: str) -> SourceImage:
    image = read_source(source, color)
    return image if image.path is not None else SourceImage(image.pixels, None, index)


@singledispatch
def _read(source: Any, color: str) -> SourceImage:
    raise DataError(f"expected an image as {_KINDS}; got {type(source).__name__}")


@_read.register
def _(source: str, color: str) -> SourceImage:
    if _is_url(source):
        hint = "check the address, or give a file"
        return SourceImage(decode_image(read_url(source, hint), source))
    return SourceImage(read_image(_named(source)), Path(source))


@_read.register
def _(source: Path, color: str) -> SourceImage:
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


def _is_url(source: str | Path) -> bool:
    return "://" in str(source)


def _named(path: str) -> str:
    """Refuse an empty path, which would mean the current folder."""
    if not path:
        raise UsageError(
            "--image_path: expected an image, a folder of images or a pattern, got an empty text"
        )
    return path


def find_images(image_path: str | Path, left_out: Sequence[Path] = ()) -> list[ImageFile]:
    """Find all images of a file, a folder with its subfolders, or a pattern, sorted by name.

    Linked folders are searched too, each once; hidden files are skipped.

    Args:
        image_path: the file, folder or pattern.
        left_out: files that are not taken, such as results.

    Raises:
        UsageError: the path is empty, which would mean the current folder.
        DataError: there is no image.
    """
    path = Path(_named(str(image_path)))
    if path.is_file():
        root, files = path.parent, [path]
    elif path.is_dir():
        root, files = path, _without(filter(_may_be_image, files_below(path)), left_out)
    else:
        root = _fixed_part(str(image_path))
        found = map(Path, glob.glob(str(image_path), recursive=True))
        images = (file for file in found if _may_be_image(file) and file.is_file())
        files = sorted(_without(images, left_out))
    if not files:
        what = "an image, a folder of images or a pattern"
        reason = "holds no image" if path.is_dir() else "there is nothing"
        raise DataError(
            f"{image_path}: {reason}; expected {what} ({', '.join(sorted(IMAGE_SUFFIXES))})"
        )
    names = unique_names(_relative_names(files, root))
    return [ImageFile(file, name) for file, name in zip(files, names, strict=True)]


def unique_names(paths: Sequence[str]) -> list[str]:
    """Name the results: the paths without suffix, with it (a_jpg) where two would be equal.

    No result of one image has the name of another's, nor that of a folder.
    """
    splits = [os.path.splitext(path) for path in paths]
    folders = {os.path.dirname(path) for path in paths}
    used = {parent.as_posix() for folder in folders for parent in Path(folder, "_").parents}
    shared = {stem for stem, times in Counter(stem for stem, _ in splits).items() if times > 1}
    names = []
    for stem, suffix in splits:
        long = f"{stem}_{suffix[1:]}"
        candidates = chain([long] if stem in shared else [stem, long], _numbered(long))
        name = next(c for c in candidates if used.isdisjoint(_files(c)))
        used.update(_files(name))
        names.append(name)
    return names


def _relative_names(files: Sequence[Path], root: Path) -> list[str]:
    """The paths below `root`, with forward slashes; worked out once for each folder."""

    @cache
    def below_root(folder: str) -> str:
        relative = Path(folder).relative_to(root).as_posix()
        return "" if relative == "." else f"{relative}/"

    return [readable(f"{below_root(os.path.dirname(file))}{file.name}") for file in files]


def _numbered(name: str) -> Iterator[str]:
    return (f"{name}_{i}" for i in count(2))


def _files(name: str) -> tuple[str, str]:
    """Return the names of the files that one image's results become in a folder."""
    return f"{name}.png", f"{name}{OVERLAY_ENDING}.png"


def _may_be_image(path: Path) -> bool:
    name = path.name
    return os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES and not name.startswith(".")


def _without(files: Iterable[Path], left_out: Sequence[Path]) -> list[Path]:
    """Take each file once and leave out some, whatever links lead to their folders."""
    real_folder = cache(os.path.realpath)  # there are few folders

    def place(path: Path) -> tuple[str, str]:
        return real_folder(os.path.dirname(path)), path.name

    taken = {place(file): file for file in files}
    places = set(map(place, left_out))
    return [file for found, file in taken.items() if found not in places]


def _fixed_part(pattern: str) -> Path:
    """Return the folders of a pattern before its first wildcard."""
    parts = Path(pattern).parts
    fixed = next((i for i, part in enumerate(parts) if glob.has_magic(part)), len(parts) - 1)
    return Path(*parts[:fixed])
