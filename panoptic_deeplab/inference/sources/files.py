"""Which image files a path means, and what their results are called."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain, count
from pathlib import Path

import numpy as np

from panoptic_deeplab.errors import DataError, UsageError
from panoptic_deeplab.file_names import frame_order, readable
from panoptic_deeplab.files import files_below, open_file
from panoptic_deeplab.formats.images import IMAGE_SUFFIXES, read_image
from panoptic_deeplab.result import OVERLAY_ENDING
from panoptic_deeplab.results.journal import FileVersion

LIST_SUFFIX = ".txt"
"""Of text files that list images."""


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

    def read(self) -> np.ndarray:
        """Read it: [H, W, 3] uint8 RGB.

        Raises:
            DataError: it cannot be read.
        """
        return read_image(self.path)

    @property
    def version(self) -> FileVersion | None:
        """Size and time of its file, None where it is gone."""
        try:
            state = os.stat(self.path)
        except OSError:
            return None
        return state.st_size, state.st_mtime_ns

    def __str__(self) -> str:
        return str(self.path)


def refuse_empty(path: str) -> str:
    """Refuse an empty path, which would mean the current folder."""
    if not path:
        raise UsageError(
            "--image_path: expected an image, a folder of images, a pattern or a video, got an "
            "empty text"
        )
    return path


def find_images(image_path: str | Path, left_out: Sequence[Path] = ()) -> list[ImageFile]:
    """Find all images of a file, a folder with its subfolders, a pattern, or a list.

    They come folder by folder, in each by the numbers in their names; those of a list in its order.
    Linked folders are searched too, each once; hidden files are skipped.

    Args:
        image_path: the file, folder or pattern; or a `.txt` with the path of an image on each line,
            relative to the list or to the current folder.
        left_out: files that are not taken, such as results.

    Raises:
        UsageError: the path is empty, which would mean the current folder.
        DataError: there is no image.
    """
    path = Path(refuse_empty(str(image_path)))
    if path.is_file() and path.suffix.lower() == LIST_SUFFIX:
        root, files = _listed_files(path)
    elif path.is_file():
        root, files = path.parent, [path]
    elif path.is_dir():
        found = filter(_may_be_image, files_below(path))
        root, files = path, _in_order(_without(found, left_out))
    else:
        root = _fixed_part(str(image_path))
        found = map(Path, glob.glob(str(image_path), recursive=True))
        images = (file for file in found if _may_be_image(file) and file.is_file())
        files = _in_order(_without(images, left_out))
    if not files:
        what = "an image, a folder of images, a pattern, a list or a video"
        reason = "there is nothing" if not path.exists() else "holds no image"
        raise DataError(
            f"{image_path}: {reason}; expected {what} ({', '.join(sorted(IMAGE_SUFFIXES))})"
        )
    names = unique_names(_relative_names(files, root))
    return [ImageFile(file, name) for file, name in zip(files, names, strict=True)]


def _listed_files(path: Path) -> tuple[Path, list[Path]]:
    """Return the images that a text file lists, each once, and the folder that they all lie in."""
    with open_file(path) as file:
        try:
            lines = file.read().decode("utf-8-sig").splitlines()
        except UnicodeDecodeError as error:
            raise DataError(f"{path}: expected a text of paths in UTF-8 ({error})") from error
    texts = [line.strip() for line in lines]
    files = [_listed_file(path, text) for text in texts if text and not text.startswith("#")]
    absolute = list(dict.fromkeys(Path(os.path.abspath(file)) for file in files))
    return Path(os.path.commonpath([file.parent for file in absolute] or ["/"])), absolute


def _listed_file(path: Path, line: str) -> Path:
    """Return the file of a line: all of it, or its first word, as PaddleSeg's lists have it."""
    texts = dict.fromkeys((line, line.split()[0]))
    places = [place for text in texts for place in (path.parent / text, Path(text))]
    return next((place for place in places if place.is_file()), places[0])


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


def _in_order(files: Iterable[Path]) -> list[Path]:
    """Sort images so that the frames of a sequence come one after the other."""
    return sorted(files, key=lambda file: (file.parent.parts, frame_order(file.name)))


def _fixed_part(pattern: str) -> Path:
    """Return the folders of a pattern before its first wildcard."""
    parts = Path(pattern).parts
    fixed = next((i for i, part in enumerate(parts) if glob.has_magic(part)), len(parts) - 1)
    return Path(*parts[:fixed])
