"""Reading files safely, and writing them so that nothing is left half-written."""

from __future__ import annotations

import ctypes
import json
import math
import os
import re
import shutil
import stat
import sys
import tempfile
from collections.abc import Container, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from panoptic_deeplab.errors import DataError
from panoptic_deeplab.file_kinds import HEAD_BYTES, mistaken_for
from panoptic_deeplab.file_names import readable


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` that replaces it when the block ends without error.

    If the process is killed or fails, the old file (or none) stays. The temporary name keeps the
    suffix, by which image writers choose the format. A link is followed: its target is replaced.
    """
    path = _target(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(
        prefix=_part_prefix(path.stem), suffix=path.suffix, dir=path.parent
    )
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
def replacing_folder(path: str | Path, own: Container[str] | None = None) -> Iterator[Path]:
    """Yield a temporary folder, as `replacing`: all its files appear under `path` at once.

    The old folder stays until the new one takes its place, in one step where the system can swap
    two folders.

    Args:
        path: the folder to make or replace.
        own: names of all that this program writes there; what else the old folder holds moves to
            the new one. None: all of it goes.

    Raises:
        DataError: a file stands at `path`.
    """
    path = _target(path)
    _refuse_file(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _part_folder(path)
    try:
        temporary.chmod(0o777 & ~_umask())
        yield temporary
        if path.exists():
            old = _swap(temporary, path)
            _keep_others(old, path, own)
            shutil.rmtree(old)
        else:
            os.replace(temporary, path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _keep_others(old: Path, new: Path, own: Container[str] | None) -> None:
    """Move what is not ours from the old folder to the new one."""
    for entry in sorted(old.iterdir()) if own is not None else []:
        if entry.name not in own and not os.path.lexists(new / entry.name):
            os.rename(entry, new / entry.name)


def _swap(new: Path, path: Path) -> Path:
    """Put the folder `new` in the place of `path` and return where the old one is."""
    if _exchange(new, path):
        return new
    old = path.with_name(f"{_OLD}{path.name}")
    os.rename(path, old)
    os.rename(new, path)
    return old


def _exchange(first: Path, second: Path) -> bool:
    """Swap two paths in one step; False where the system (other than Linux) or the disk cannot."""
    renameat2 = getattr(ctypes.CDLL(None), "renameat2", None) if sys.platform == "linux" else None
    if renameat2 is None:
        return False
    places = (_AT_FDCWD, os.fsencode(first), _AT_FDCWD, os.fsencode(second))
    return renameat2(*places, _RENAME_EXCHANGE) == 0


_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # as linux/fcntl.h and linux/fs.h number them


def remove_folder(path: Path) -> None:
    """Remove a folder so that a killed process never leaves half of it under its name."""
    hidden = _part_folder(path)
    os.rename(path, hidden)  # an empty folder may be replaced
    shutil.rmtree(hidden)


def clear_remains(folder: Path, names: str = ".*") -> None:
    """Remove what killed processes left while they replaced files or folders in `folder`.

    Only the one who alone writes those names may call it: what a living process writes looks the
    same.

    Args:
        folder: where the names lie, which need not exist.
        names: a regular expression of the names, without suffix for files.
    """
    part = re.compile(rf"{re.escape(_PART)}(?:{names})\.[a-z0-9_]{{8}}(\.[^.]*)?")
    old = re.compile(rf"{re.escape(_OLD)}(?:{names})")
    for entry in sorted(folder.glob(".*")):
        if old.fullmatch(entry.name) and not (whole := _in_place(entry)).exists():
            os.rename(entry, whole)  # it was killed between the two renames of `_swap`
        elif old.fullmatch(entry.name) or part.fullmatch(entry.name):
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


_PART, _OLD = ".part.", ".old."
_PREFIX_CHARACTERS = 40
"""Of a name, so that the temporary one is no longer than a disk takes (255 bytes)."""


def _in_place(old: Path) -> Path:
    return old.with_name(old.name.removeprefix(_OLD))


def _part_prefix(name: str) -> str:
    return f"{_PART}{name[:_PREFIX_CHARACTERS]}."


def _part_folder(path: Path) -> Path:
    return Path(tempfile.mkdtemp(prefix=_part_prefix(path.name), dir=path.parent))


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
        problem = f"{path}: {why_missing(path)}"
        raise DataError(problem, kind="missing file", file=path) from error
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{path}: cannot be read ({reason})") from error


def why_missing(path: str | Path) -> str:
    """Tell a file that is not there from a link of which the target is not there."""
    if not os.path.islink(path):
        return "no such file"
    return (
        f"a link to {os.readlink(path)}, which is not there; fetch it (git annex get, dvc pull), "
        "or copy the data set with what its links lead to"
    )


def files_below(folder: str | Path, suffix: str = "") -> list[Path]:
    """List the files below a folder whose names end with `suffix`, in any case; sorted.

    A missing folder holds none. Links to folders are followed, and each folder is entered once:
    data sets are often made of links. The `._*` of macOS on foreign disks are left out.
    """
    from panoptic_deeplab.progress import patient_bar

    found: list[str] = []
    with patient_bar(title=f"searching {folder}", unit="files") as bar:
        for entries in _listings(os.fspath(folder)):
            found += [
                e.path for e in entries if _has_ending(e.name, suffix.lower()) and _is_file(e)
            ]
            bar.update(len(entries))
    return [Path(path) for path in sorted(found, key=lambda path: path.split(os.sep))]


def _listings(folder: str) -> Iterator[list[os.DirEntry[str]]]:
    """Yield what lies in a folder, then in each folder below; nothing of one that has no list."""
    seen: set[tuple[int, int]] = set()
    folders = [folder]
    while folders:
        place = folders.pop()
        try:
            state = os.stat(place)
            with os.scandir(place) as listing:
                entries = list(listing)
        except OSError:
            continue
        if (state.st_dev, state.st_ino) not in seen:
            seen.add((state.st_dev, state.st_ino))
            yield entries
            # Of two paths to one folder the same is taken on every machine.
            folders += sorted((e.path for e in entries if _is_folder(e)), reverse=True)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether it is a folder or a link to one; told by the listing, without a look at each file."""
    is_link = entry.is_symlink()
    return os.path.isdir(entry.path) if is_link else entry.is_dir(follow_symlinks=False)


def _is_file(entry: os.DirEntry[str]) -> bool:
    is_link = entry.is_symlink()
    return os.path.isfile(entry.path) if is_link else entry.is_file(follow_symlinks=False)


def _has_ending(name: str, suffix: str) -> bool:
    return name.lower().endswith(suffix) and not name.startswith("._")


def read_json(path: str | Path) -> Any:
    """Read a JSON file.

    Raises:
        DataError: it is missing, unreadable or not JSON.
    """
    with open_file(path) as file:
        try:
            if found := mistaken_for(file.read(HEAD_BYTES)):
                raise DataError(f"{path}: cannot be read as JSON ({found})")
            file.seek(0)
            return json.load(file)
        except (OSError, ValueError, RecursionError) as error:
            raise DataError(f"{path}: cannot be read as JSON ({error})") from error


def write_json(path: str | Path, content: Any, indent: int | None = None) -> None:
    """Write `content` as JSON in place of `path`, NaN as null."""
    with replacing(path) as temporary:
        temporary.write_text(as_json(content, indent) + "\n", "utf-8")


def as_json(content: Any, indent: int | None = None) -> str:
    """Make the JSON text of `content`, with null for NaN and infinity, and names `readable`."""
    try:
        text = json.dumps(content, indent=indent, allow_nan=False)
    except ValueError:  # NaN or infinity
        return json.dumps(_portable(content), indent=indent)
    return json.dumps(_portable(content), indent=indent) if _HALF_CHARACTER in text else text


_HALF_CHARACTER = "\\ud"  # how `json.dumps` begins one, and a rare whole one too


def _portable(content: Any) -> Any:
    """What other programs read too, which refuse NaN and half characters."""
    if isinstance(content, str):
        return readable(content)
    if isinstance(content, dict):
        return {_portable(key): _portable(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [_portable(value) for value in content]
    if isinstance(content, float) and not math.isfinite(content):
        return None
    return content


def usable_folder(path: str | Path) -> Path:
    """Make `path` a folder that exists and can be written to.

    Raises:
        DataError: a file of that name exists, or it cannot be made or written to; or it is an
            address.
    """
    path = Path(path)
    if _ADDRESS.match(str(path)):
        raise DataError(
            f"{path}: expected a folder of this machine, got an address; choose one, and copy it "
            "from there"
        )
    _refuse_file(path)
    _target(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{path}: the folder cannot be made ({error.strerror})") from error
    if not os.access(path, os.W_OK):
        raise DataError(f"{path}: the folder cannot be written to; choose another")
    return path


_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+:[/\\]", re.IGNORECASE)
"""Of s3://bucket/folder, which a `Path` makes s3:/bucket/folder; longer than C:/ of a disk."""


def _target(path: str | Path) -> Path:
    """Return where a path leads, links followed.

    Raises:
        DataError: no file can have that name.
    """
    try:
        return Path(os.path.realpath(path))
    except ValueError as error:
        raise DataError(f"{path}: no file can have this name ({error})") from error


def _refuse_file(path: Path) -> None:
    if path.exists() and not path.is_dir():
        raise DataError(f"{path}: expected a folder to write to, but a file stands there")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
