"""Which pictures a path means, and what their results are called."""

from __future__ import annotations

import glob
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from panoptic_deeplab.errors import DataError
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


def find_pictures(image_path: str) -> list[Picture]:
    """All pictures of a file, a folder (searched through) or a pattern, in the order of names.

    Raises:
        DataError: there is none.
    """
    path = Path(image_path)
    if path.is_dir():
        root, files = path, [file for file in path.rglob("*") if _is_picture(file)]
    elif path.is_file():
        root, files = path.parent, [path]
    else:
        files = [Path(file) for file in glob.glob(image_path, recursive=True)]
        root, files = _fixed_part(image_path), [file for file in files if _is_picture(file)]
    if not files:
        what = "a picture, a folder of pictures or a pattern"
        found = "holds no picture" if path.is_dir() else "there is nothing"
        raise DataError(
            f"{image_path}: {found}; expected {what} ({', '.join(sorted(IMAGE_SUFFIXES))})"
        )
    files = sorted(files)
    names = unique_names([file.relative_to(root) for file in files])
    return [Picture(file, name) for file, name in zip(files, names, strict=True)]


def unique_names(paths: Sequence[Path]) -> list[str]:
    """Names of results: the paths without suffix, with it (a_jpg) where two would be equal."""
    stems = [path.with_suffix("").as_posix() for path in paths]
    taken = Counter(stems) + Counter(stem + OVERLAY_ENDING for stem in set(stems))
    return [
        f"{stem}_{path.suffix[1:]}" if taken[stem] > 1 else stem
        for stem, path in zip(stems, paths, strict=True)
    ]


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES and path.is_file()


def _fixed_part(pattern: str) -> Path:
    """The folders of a pattern before its first wildcard."""
    parts = Path(pattern).parts
    fixed = next((i for i, part in enumerate(parts) if glob.has_magic(part)), len(parts) - 1)
    return Path(*parts[:fixed])
