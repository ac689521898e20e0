"""The actors of a Ray cluster that this process started, and their sudden ends."""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import ray

_PROC = Path("/proc")


@contextmanager
def cluster(num_cpus: int) -> Iterator[None]:
    """Run Ray on some cores of this machine; its processes find the package where this one does."""
    paths = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    before = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(
            num_cpus=num_cpus,
            object_store_memory=100 << 20,
            include_dashboard=False,
            log_to_driver=False,
            runtime_env={"env_vars": paths},
            _system_config={"memory_monitor_refresh_ms": 0},  # other programs may fill the memory
        )
        yield
    finally:
        ray.shutdown()
        signal.signal(signal.SIGTERM, before)


def actors() -> list[int]:
    """Return the processes of the actors that predict."""
    return [int(entry.name) for entry in _PROC.iterdir() if _is_actor(entry)]


def _is_actor(process: Path) -> bool:
    try:
        title = (process / "cmdline").read_bytes()
        return title.startswith(b"ray::MapWorker") and _parent(_parent(process)).name == str(
            os.getpid()
        )
    except OSError:  # it has ended, or is no process
        return False


def _parent(process: Path) -> Path:
    return _PROC / (process / "stat").read_text().rpartition(")")[2].split()[1]


class Killer:
    """Kills random actors (SIGKILL) while its block runs.

    Args:
        rng: draws the actors and the moments.
        longest: seconds between two kills, at most.
        limit: number of kills, at most.

    Attributes:
        kills: number so far.
    """

    def __init__(self, rng: random.Random, longest: float, limit: int) -> None:
        self.kills = 0
        self._rng, self._longest, self._limit = rng, longest, limit
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Killer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while self.kills < self._limit:
            if self._over.wait(self._rng.uniform(0, self._longest)):
                return
            with suppress(IndexError, ProcessLookupError):  # there is none at the moment
                os.kill(self._rng.choice(sorted(actors())), signal.SIGKILL)
                self.kills += 1
