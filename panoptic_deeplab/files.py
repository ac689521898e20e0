"""Reading files safely, and writing them so that nothing is left half-written."""

from __future__ import annotations

import json
import math
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from panoptic_deeplab.errors import DataError


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` that replaces it when the block ends without error.

    If the process is killed or fails, the old file (or none) stays. The temporary name keeps the
    suffix, by which image writers choose the format.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".part.", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    try:
        os.chmod(name, 0o666 & ~_umask())
        yield Path(name)
        os.replace(name, path)
    except BaseException as error:
        with suppress(FileNotFoundError):
            os.unlink(name)
        if isinstance(error, OSError) and error.filename in (None, name):
            error.filename = str(path)  # what the user knows
        raise


@contextmanager
def replacing_folder(path: str | Path) -> Iterator[Path]:
    """Yield a temporary folder, as `replacing`: all its files appear under `path` at once."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        temporary.chmod(0o777 & ~_umask())
        yield temporary
        if path.exists():
            old = temporary.with_name(temporary.name + ".old")
            os.replace(path, old)
            os.replace(temporary, path)
            shutil.rmtree(old)
        else:
            os.replace(temporary, path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def open_file(path: str | Path) -> BinaryIO:
    """Open an ordinary file for reading.

    Raises:
        DataError: it is missing, cannot be read, or is a folder, pipe or device; reading from
            those could block forever.
    """
    try:
        mode = os.stat(path).st_mode
        if not stat.S_ISREG(mode):
            kind = "a folder" if stat.S_ISDIR(mode) else "a pipe or device"
            raise DataError(f"{path}: expected a file, got {kind}")
        return open(path, "rb")
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file", kind="missing file", file=path) from error
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{path}: cannot be read ({reason})") from error


def inside(folder: str | Path, name: str, root: str | Path, source: str | Path) -> Path:
    """Return `folder` / `name`, which `source` asks for, if it lies below `root`.

    Raises:
        DataError: that file lies elsewhere, whether by an absolute name, `..` or a link.
    """
    path = Path(folder) / name
    if folder == root and _is_plain(folder, name):
        return path
    try:
        lies_inside = path.resolve().is_relative_to(Path(root).resolve())
    except (OSError, ValueError, RuntimeError):  # a zero byte, a name too long, a ring of links
        lies_inside = False
    if not lies_inside or Path(name).is_absolute():
        raise DataError(
            f"{source}: file name {name!r:.200} points outside {root}", kind="outside folder"
        )
    return path


def _is_plain(folder: str | Path, name: str) -> bool:
    """Whether a name leads down from its folder without a link: a fast check for most names."""
    parts = name.replace("\\", "/").split("/")
    if os.path.isabs(name) or not {"", "..", "\0"}.isdisjoint({*parts, *name}):
        return False
    path = str(folder)
    for part in parts:
        path = os.path.join(path, part)
        if os.path.islink(path):
            return False
    return True


def files_below(folder: str | Path, suffix: str = "") -> list[Path]:
    """List the files below a folder whose names end with `suffix`, sorted; none if it is missing.

    Links to folders are followed, and each folder is entered once: data sets are often made of
    links.
    """
    seen, files = set(), []
    for place, below, names in os.walk(folder, followlinks=True):
        state = os.stat(place)
        if (state.st_dev, state.st_ino) in seen:
            below.clear()
            continue
        seen.add((state.st_dev, state.st_ino))
        below.sort()  # of two paths to a folder the same is taken on every machine
        files += [Path(place, name) for name in names if name.endswith(suffix)]
    return sorted(path for path in files if path.is_file())


def read_json(path: str | Path) -> Any:
    """Read a JSON file.

    Raises:
        DataError: it is missing, unreadable or not JSON.
    """
    with open_file(path) as file:
        try:
            return json.load(file)
        except (OSError, ValueError, RecursionError) as error:
            raise DataError(f"{path}: cannot be read as JSON ({error})") from error


def write_json(path: str | Path, content: Any, indent: int | None = None) -> None:
    """Write `content` as JSON in place of `path`, NaN as null."""
    with replacing(path) as temporary:
        temporary.write_text(as_json(content, indent) + "\n", "utf-8")


def as_json(content: Any, indent: int | None = None) -> str:
    """Make the JSON text of `content`, with null for NaN and infinity."""
    return json.dumps(_without_nan(content), indent=indent)


def _without_nan(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _without_nan(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [_without_nan(value) for value in content]
    if isinstance(content, float) and not math.isfinite(content):
        return None
    return content


def usable_folder(path: str | Path) -> Path:
    """Make `path` a folder that exists and can be written to.

    Raises:
        DataError: a file of that name exists, or it cannot be made or written to.
    """
    path = Path(path)
    if path.exists() and not path.is_dir():
        raise DataError(f"{path}: expected a folder to write to, but a file stands there")
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{path}: the folder cannot be made ({error.strerror})") from error
    if not os.access(path, os.W_OK):
        raise DataError(f"{path}: the folder cannot be written to; choose another")
    return path


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
