"""Commands as processes of their own, which are killed, and what they leave."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from panoptic_deeplab.errors import DataError
from stressing.world import ROOT

_SECONDS_TO_END = 20


def start(words: Sequence[object], output: Path) -> subprocess.Popen:
    """Start `panoptic-deeplab WORDS` in a session of its own; what it says is added to `output`."""
    with open(output, "ab") as file:
        return subprocess.Popen(
            [sys.executable, "-m", "panoptic_deeplab", *map(str, words)],
            cwd=ROOT,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            stdout=file,
            stderr=file,
            start_new_session=True,
        )


def finish(words: Sequence[object], output: Path) -> float:
    """Run a command to its end and return the seconds it took.

    Raises:
        DataError: it failed.
    """
    begin = time.monotonic()
    if start(words, output).wait() != 0:
        raise DataError(f"{words[0]} failed: {output.read_text('utf-8', 'replace')[-2000:]}")
    return time.monotonic() - begin


def kill_after(process: subprocess.Popen, seconds: float) -> bool:
    """Kill a process (not its children) after a while; False where it had ended by then.

    Raises:
        DataError: a child outlives it.
    """
    try:
        process.wait(timeout=seconds)
        return False
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    until = time.monotonic() + _SECONDS_TO_END
    while _group_lives(process.pid):
        if time.monotonic() > until:
            os.killpg(process.pid, signal.SIGKILL)
            raise DataError(f"{process.args[3]}: children outlive the killed command")
        time.sleep(0.02)
    return True


def _group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
        return True
    except ProcessLookupError:
        return False


def digest(path: Path) -> str | None:
    """Return a checksum of a file or of all files below a folder; None where there is nothing."""
    if not path.exists():
        return None
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    checksum = hashlib.sha256()
    for file in files:
        checksum.update(f"{file.relative_to(path)}\0".encode())
        checksum.update(file.read_bytes())
    return checksum.hexdigest()


def names_of(folder: Path) -> list[str] | None:
    """Return the sorted names in a folder; None where there is none."""
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else None
