"""Names that come out of files from outside."""

from __future__ import annotations

from pathlib import Path, PurePosixPath, PureWindowsPath

from panoptic_deeplab.errors import DataError


def checked_name(name: str, source: str | Path) -> str:
    """An image's name that lies below its folder, with forward slashes.

    Raises:
        DataError: it is empty, absolute, goes up by `..`, or has control characters.
    """
    path = PureWindowsPath(name)  # takes both slashes, and knows drives
    inside = not (path.drive or path.root or ".." in path.parts) and path.name
    if not inside or not name.isprintable():
        raise DataError(
            f"{source}: file name {name!r:.200} is none below the folder of images; names must "
            "be relative and without '..'"
        )
    return PurePosixPath(*path.parts).as_posix()
