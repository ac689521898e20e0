"""Compiled networks in the cache folder, of bounded size; the one used longest ago goes first."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

from panoptic_deeplab.files import replacing
from panoptic_deeplab.weights.download import cache_folder

MAX_BYTES = 2 << 30


def kept_path(identity: str) -> Path:
    """Return where the network of this identity is kept, whether it is there or not."""
    return cache_folder() / "compiled" / f"{identity}.onnx"


def mark_used(path: Path) -> None:
    """Let a kept file be removed after those that were used before now."""
    with suppress(OSError):  # the folder may be another user's
        os.utime(path)


def keep(file: Path, path: Path) -> None:
    """Copy a file to its place in the cache, and remove old ones beyond `MAX_BYTES` in all.

    Two processes may do this at once: each replaces the whole file by one of the same content.

    Raises:
        OSError: the folder cannot be written to.
    """
    with replacing(path) as temporary:
        shutil.copyfile(file, temporary)
    _remove_oldest(path.parent)


def failure_path(path: Path) -> Path:
    """Return where it is noted that the network of this place in the cache cannot be compiled."""
    return path.with_suffix(".failed")


def keep_failure(reason: str, path: Path) -> None:
    """Note why the network of this place cannot be compiled, where the folder can be written to."""
    with suppress(OSError), replacing(failure_path(path)) as temporary:
        temporary.write_text(reason, "utf-8")


def kept_failure(path: Path) -> str | None:
    """Return why the network of this place cannot be compiled; None where nothing is known."""
    try:
        return failure_path(path).read_text("utf-8", "replace")
    except OSError:
        return None


def discard(path: Path) -> None:
    """Remove a kept file, if it is there and may be removed."""
    with suppress(OSError):
        path.unlink()


def _remove_oldest(folder: Path) -> None:
    """Remove the files beyond `MAX_BYTES`, but not the newest; what killed writers left counts."""
    found = []
    for path in folder.glob("*.onnx"):
        with suppress(OSError):  # another process has removed it
            found.append((path.stat().st_mtime, path.stat().st_size, path))
    total = 0
    for place, (_, size, path) in enumerate(sorted(found, reverse=True)):
        total += size
        if place and total > MAX_BYTES:
            discard(path)
