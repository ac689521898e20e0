"""Commands as processes of their own, which are killed, and what they leave."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from panoptic_deeplab.errors import DataError
from stressing.world import ROOT

_SECONDS_TO_END = 120
_PROC = Path("/proc")


def start(words: Sequence[object], output: Path, ranks: int = 1) -> subprocess.Popen:
    """Start `panoptic-deeplab WORDS` in a session of its own.

    Args:
        words: a verb, which has a script of its name where there are several ranks, and its flags.
        output: what it says is added to this file; logs of ranks lie beside it.
        ranks: number of processes, which Paddle's launcher starts if there are several.
    """
    program = ["-m", "panoptic_deeplab", *words]
    if ranks > 1:
        launcher = ["-m", "paddle.distributed.launch", "--nproc_per_node", ranks]
        launcher += ["--log_dir", output.with_name("logs")]
        program = [*launcher, f"{words[0]}.py", *words[1:]]
    with open(output, "ab") as file:
        return subprocess.Popen(
            [sys.executable, *map(str, program)],
            cwd=ROOT,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            stdout=file,
            stderr=file,
            start_new_session=True,
        )


def finish(words: Sequence[object], output: Path, ranks: int = 1) -> float:
    """Run a command to its end and return the seconds it took.

    Raises:
        DataError: it failed.
    """
    begin = time.monotonic()
    if start(words, output, ranks).wait() != 0:
        raise DataError(f"{words[0]} failed: {output.read_text('utf-8', 'replace')[-2000:]}")
    return time.monotonic() - begin


def kill_after(process: subprocess.Popen, seconds: float, rng: random.Random | None = None) -> bool:
    """Kill a process after a while, upon which it and its children must end.

    Args:
        process: with its own session, as `start` gives it.
        seconds: to wait before.
        rng: chooses whom to kill: the process, any one of it and its children, or all; None for the
            process.

    Returns:
        False where it had ended by then.

    Raises:
        DataError: one of them goes on.
    """
    try:
        process.wait(timeout=seconds)
        return False
    except subprocess.TimeoutExpired:
        family = family_of(process)
    chosen = family[:1]
    if rng is not None:
        chosen = rng.choice([family[:1], [rng.choice(family)], family])
    for victim in chosen:
        with suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)
    until = time.monotonic() + _SECONDS_TO_END
    while process.poll() is None or any(map(_group_lives, family)):
        if time.monotonic() > until:
            for group in filter(_group_lives, family):
                os.killpg(group, signal.SIGKILL)
            raise DataError(f"{process.args[3]}: goes on although processes of it were killed")
        time.sleep(0.02)
    return True


def family_of(process: subprocess.Popen) -> list[int]:
    """Return the ids of a process and its children; each child of a launcher leads a group."""
    path = _PROC / f"{process.pid}" / "task" / f"{process.pid}" / "children"
    with suppress(OSError):  # it has ended
        return [process.pid, *map(int, path.read_text().split())]
    return [process.pid]


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
