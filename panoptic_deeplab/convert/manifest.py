"""Folders of conversions: replaced as a whole, and only where a conversion wrote all they hold.

Beside a folder `NAME`, the hidden file `.NAME.conversion.json` lists what conversions wrote there.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import NamedTuple

from panoptic_deeplab.errors import DataError, UsageError
from panoptic_deeplab.files import read_json, replacing, replacing_folder, write_json


class Draft(NamedTuple):
    """Where a conversion writes until all is done.

    Attributes:
        folder: for the images' files.
        summary: the file that lists them, None for a format without one.
    """

    folder: Path
    summary: Path | None


@contextmanager
def replacing_conversion(folder: Path, summary: Path | None) -> Iterator[Draft]:
    """Yield a draft that takes the place of an earlier conversion when the block ends.

    The old summary goes before the folder is replaced and the new one comes after, so that none
    ever lists files of another folder.

    Args:
        folder: what `Draft.folder` becomes.
        summary: what `Draft.summary` becomes.
    """
    new_summary = nullcontext() if summary is None else replacing(summary)
    with new_summary as listing, replacing_folder(folder) as new:
        yield Draft(new, listing)
        if summary is not None:
            summary.unlink(missing_ok=True)


def refuse_foreign(folder: Path, summary: Path | None) -> None:
    """Refuse to replace what no conversion wrote.

    Raises:
        UsageError: there is such a file.
    """
    known = read_manifest(folder)
    foreign = sorted(files_of(folder) - known)
    if summary is not None and summary.exists() and summary.name not in known:
        foreign.append(summary.name)
    if foreign:
        raise UsageError(
            f"--overwrite replaces {folder}, but {foreign[0]} was not made by a conversion; choose "
            "another --save_dir or --name, or remove it yourself"
        )


def files_of(folder: Path) -> set[str]:
    """Return the paths of all files below a folder, links to folders too."""
    files = set()
    for place, below, names in os.walk(folder):
        links = [name for name in below if os.path.islink(os.path.join(place, name))]
        files |= {Path(place, name).relative_to(folder).as_posix() for name in [*links, *names]}
    return files


def read_manifest(folder: Path) -> set[str]:
    """Return the names of all files that conversions wrote into a folder, and of the summary."""
    path = _path(folder)
    if not path.exists():
        return set()
    try:
        return {str(name) for name in read_json(path)["files"]}
    except (KeyError, TypeError) as error:
        raise DataError(f"{path}: not what a conversion writes; remove it") from error


def write_manifest(folder: Path, files: set[str]) -> None:
    """Note the names of all files that conversions wrote into a folder, and of the summary."""
    write_json(_path(folder), {"files": sorted(files)})


def _path(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.conversion.json")
