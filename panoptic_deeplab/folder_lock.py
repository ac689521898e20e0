"""One writer at a time: a lock that dies with its owner."""

from __future__ import annotations

import logging
import os
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from panoptic_deeplab.errors import UsageError, one_line
from panoptic_deeplab.files import clear_remains

try:
    import fcntl
except ImportError:  # not on Windows, where two writers are not told
    fcntl = None

LOCK_FILE = ".lock"

_log = logging.getLogger(__name__)


@contextmanager
def claimed(folder: str | Path, purpose: str, name: str = LOCK_FILE) -> Iterator[None]:
    """Hold a folder as the only writer of this purpose while the block runs.

    The lock is a record lock of the system on a hidden file: it ends with this process, however
    that ends, works over NFS, and forked workers do not hold it. Where the disk has no locks, a
    warning says that two writers would not be noticed.

    Args:
        folder: an existing folder.
        purpose: what this process does there, for the message to another one ("training").
        name: of the file; purposes with different files do not exclude each other.

    Raises:
        UsageError: another process holds it.
    """
    path = Path(folder) / name
    handle = _locked(path, f"{folder}: another {purpose} writes here")
    try:
        yield
    finally:
        if handle is not None:
            with suppress(OSError):
                path.unlink()
            os.close(handle)  # closing any handle of the file ends the lock


@contextmanager
def sole_writer(path: Path, purpose: str) -> Iterator[None]:
    """Hold a file or folder that is to be made or replaced, and clear a killed writer's remains.

    Raises:
        UsageError: another process writes it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = f"{LOCK_FILE}.{path.name[:_NAME_CHARACTERS]}"
    with claimed(path.parent, f"{purpose} to {path.name}", lock):
        clear_remains(path.parent, re.escape(path.name))
        yield


_NAME_CHARACTERS = 40  # the file's name stays within 255 bytes


def _locked(path: Path, refusal: str) -> int | None:
    """Open and lock the file; None where there are no locks."""
    while fcntl is not None:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            owner = one_line(os.read(handle, 200).decode("utf-8", "replace"))
            os.close(handle)
            raise UsageError(
                f"{refusal} ({owner or 'it has just started'}); wait for it, or choose another "
                "folder"
            ) from None
        except OSError as error:
            os.close(handle)
            _log.warning("%s cannot be locked (%s): let nothing else write there", path, error)
            return None
        if _is_still(path, handle):
            _sign(handle)
            return handle
        os.close(handle)  # its last owner removed it in between
    return None


def _is_still(path: Path, handle: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(handle))
    except FileNotFoundError:
        return False


def _sign(handle: int) -> None:
    owner = f"process {os.getpid()} on {socket.gethostname()} since {time.strftime('%F %T')}\n"
    os.ftruncate(handle, 0)
    os.write(handle, owner.encode())
