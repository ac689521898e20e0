"""Names of files in annotations, which may come from other programs and other systems."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path, PureWindowsPath
from unicodedata import normalize
from urllib.parse import unquote

from panoptic_deeplab.errors import DataError


def inside(folder: str | Path, name: str, root: str | Path, source: str | Path) -> Path:
    r"""Find the file `name` of `folder`, which `source` asks for and which must lie below `root`.

    The name is taken as it stands where such a file exists, else as other systems write it: with
    `\` for `/`, its suffix in the other case, letters with accents in one character or in two,
    escaped as in a URL, or with the end of the folder's own path in front. An absolute name may
    lie below `root` too. Links are followed wherever they lead, for a data set may be made of
    links into a store; what counts is the name itself.

    Returns:
        The file; where there is none, the place where the name says that it should be.

    Raises:
        DataError: the name leads elsewhere, by itself: absolute, by a drive, or by `..`.
    """
    path = _place(folder, name, root)
    if path is not None and os.path.isfile(path):
        return path
    plain = name.replace("\\", "/")
    wanted = _place(folder, plain, root)
    if wanted is None:
        raise DataError(
            f"{source}: file name {name!r:.200} points outside {root}; names are relative to that "
            "folder, without '..'",
            kind="outside folder",
        )
    for spelling in _spellings(plain, root):
        path = _place(folder, spelling, root)
        if path is not None and os.path.isfile(path):
            return path
    return wanted


def _place(folder: str | Path, name: str, root: str | Path) -> Path | None:
    """Where a name lies by its letters alone; None if that is not below `root`."""
    if "\0" in name or PureWindowsPath(name).drive:
        return None
    if os.path.isabs(name):
        return _below(root, os.path.normpath(name))
    if ".." not in name:
        return Path(folder, name)
    path = os.path.normpath(os.path.join(folder, name))
    return Path(path) if Path(path).is_relative_to(os.path.normpath(root)) else None


def _below(root: str | Path, name: str) -> Path | None:
    """The absolute `name` by way of `root`, under the path of which it may lie by links or not."""
    for base in (os.path.abspath(root), os.path.realpath(root)):
        if Path(name).is_relative_to(base):
            return Path(root, os.path.relpath(name, base))
    return None


def _spellings(name: str, root: str | Path) -> Iterator[str]:
    """Yield what another system may have meant by a name, the likeliest first."""
    for written in dict.fromkeys((name, unquote(name))):
        for shortened in dict.fromkeys((written, _without_root(written, root))):
            for form in dict.fromkeys((shortened, composed(shortened), _decomposed(shortened))):
                stem, suffix = os.path.splitext(form)
                yield from dict.fromkeys((form, stem + suffix.lower(), stem + suffix.upper()))


def composed(name: str) -> str:
    """Write letters with accents as one character each, as Linux and Windows name files."""
    return normalize("NFC", name)


def _decomposed(name: str) -> str:
    """Write accents as characters of their own, as macOS names files."""
    return normalize("NFD", name)


def _without_root(name: str, root: str | Path) -> str:
    """Take the end of the root's path off a name that begins with it: `val/a.jpg` in `i/val`."""
    parts, folders = Path(name).parts, Path(os.path.abspath(root)).parts
    for count in range(len(parts) - 1, 0, -1):
        if folders[-count:] == parts[:count]:
            return "/".join(parts[count:])
    return name


def relative_name(name: str, source: str | Path, folder: str | Path | None = None) -> str:
    """Make the name of an image relative to its folder, with forward slashes.

    Args:
        name: as an annotation gives it.
        source: the annotation, for errors.
        folder: of the images, which an absolute name must lie below; None where it is not known.

    Raises:
        DataError: the name is empty, absolute elsewhere, goes up by `..`, or cannot be printed.
    """
    path = PureWindowsPath(name)  # takes both slashes, and knows drives
    if folder is not None and os.path.isabs(name) and (place := _below(folder, name)):
        path = PureWindowsPath(place.relative_to(folder))
    is_relative = not (path.drive or path.root or ".." in path.parts)
    if not is_relative or not path.name or not name.isprintable():
        raise DataError(
            f"{source}: file name {name!r:.200} does not lie below the folder of images; "
            "names must be relative and without '..'",
            kind="outside folder",
        )
    return path.as_posix()


_SURROGATES = re.compile("[\ud800-\udfff]")
_BYTE = 0xDC00  # what Python adds to a byte of a file's name that is not UTF-8


def frame_order(name: str) -> list[tuple[int, str]]:
    """The key that sorts names of frames by the numbers in them: `frame9` before `frame10`."""
    parts = re.split(r"([0-9]+)", name)
    return [(int(part) if part.isdecimal() else -1, part) for part in parts]


def readable(name: str) -> str:
    """Write bytes of a name that are not UTF-8 as in a URL, `%FF`, so that any list can hold it."""
    return name if name.isascii() else _SURROGATES.sub(_as_in_url, name)


def _as_in_url(match: re.Match[str]) -> str:
    code = ord(match[0]) - _BYTE
    return f"%{code:02X}" if 0x80 <= code <= 0xFF else "\N{REPLACEMENT CHARACTER}"
