"""Checks of the file names in annotations."""

from __future__ import annotations

from pathlib import Path, PurePosixPath, PureWindowsPath

from panoptic_deeplab.errors import DataError


def checked_name(name: str, source: str | Path) -> str:
    """Check an image's name, which must lie below its folder; return it with forward slashes.

    Raises:
        DataError: it is empty, absolute, goes up by `..`, or has control characters.
    """
    path = PureWindowsPath(name)  # takes both slashes, and knows drives
    inside = not (path.drive or path.root or ".." in path.parts) and path.name
    if not inside or not name.isprintable():
        raise DataError(
            f"{source}: file name {name!r:.200} does not lie below the folder of images; "
            "names must be relative and without '..'"
        )
    return PurePosixPath(*path.parts).as_posix()
