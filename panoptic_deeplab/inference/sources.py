"""Which pictures a path means, and what their results are called."""

from __future__ import annotations

import glob
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path

from panoptic_deeplab.errors import DataError, UsageError
from panoptic_deeplab.files import files_below
from panoptic_deeplab.formats.images import IMAGE_SUFFIXES

OVERLAY_ENDING = "_overlay"


@dataclass(frozen=True)
class Picture:
    """An input of a prediction.

    Attributes:
        path: where it lies.
        name: its path below the folder that was asked for, without suffix; unique.
    """

    path: Path
    name: str


def find_pictures(image_path: str, left_out: Sequence[Path] = ()) -> list[Picture]:
    """All pictures of a file, a folder (searched through) or a pattern, in the order of names.

    Folders behind links are searched too, each once; hidden files are passed over.

    Args:
        image_path: what to look for.
        left_out: folders whose pictures are not taken, such as those of results.

    Raises:
        UsageError: the text is empty, which would mean the current folder.
        DataError: there is none.
    """
    if not image_path:
        raise UsageError(
            "--image_path: expected a picture, a folder of pictures or a pattern, got an empty text"
        )
    path = Path(image_path)
    if path.is_dir():
        root, files = path, files_below(path)
    elif path.is_file():
        root, files = path.parent, [path]
    else:
        found = [Path(file) for file in glob.glob(image_path, recursive=True)]
        root, files = (
            _fixed_part(image_path),
            list({file.resolve(): file for file in found}.values()),
        )
    if not path.is_file():
        files = [file for file in _outside(files, left_out) if _is_picture(file)]
    if not files:
        what = "a picture, a folder of pictures or a pattern"
        reason = "holds no picture" if path.is_dir() else "there is nothing"
        raise DataError(
            f"{image_path}: {reason}; expected {what} ({', '.join(sorted(IMAGE_SUFFIXES))})"
        )
    files = sorted(files)
    names = unique_names([file.relative_to(root) for file in files])
    return [Picture(file, name) for file, name in zip(files, names, strict=True)]


def unique_names(paths: Sequence[Path]) -> list[str]:
    """Names of results: the paths without suffix, with it (a_jpg) where two would be equal.

    No result of one picture has the name of another's, nor that of a folder.
    """
    stems = [path.with_suffix("").as_posix() for path in paths]
    folders = {parent.as_posix() for path in paths for parent in path.parents}
    shared = {stem for stem, times in Counter(stems).items() if times > 1}
    used: set[str] = set(folders)
    names = []
    for stem, path in zip(stems, paths, strict=True):
        long = f"{stem}_{path.suffix[1:]}"
        candidates = chain([long] if stem in shared else [stem, long], _numbered(long))
        name = next(c for c in candidates if not used & _files(c))
        used |= _files(name)
        names.append(name)
    return names


def _numbered(name: str) -> Iterator[str]:
    return (f"{name}_{i}" for i in count(2))


def _files(name: str) -> set[str]:
    """What the results of one picture are called in a folder."""
    return {f"{name}.png", f"{name}{OVERLAY_ENDING}.png"}


def _is_picture(path: Path) -> bool:
    hidden = path.name.startswith(".")
    return path.suffix.lower() in IMAGE_SUFFIXES and path.is_file() and not hidden


def _outside(files: Sequence[Path], folders: Sequence[Path]) -> list[Path]:
    """The files that lie in none of the folders."""
    resolved = {folder.resolve() for folder in folders}
    return [file for file in files if resolved.isdisjoint(file.resolve().parents)]


def _fixed_part(pattern: str) -> Path:
    """The folders of a pattern before its first wildcard."""
    parts = Path(pattern).parts
    fixed = next((i for i, part in enumerate(parts) if glob.has_magic(part)), len(parts) - 1)
    return Path(*parts[:fixed])
