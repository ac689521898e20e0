"""Room in shared memory, through which processes hand over the batches that they read."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Mapping

import numpy as np

_log = logging.getLogger(__name__)

FOLDER = "/dev/shm"
_PLENTY = 8 << 30
"""Free bytes with which no batch needs to be measured."""
_BATCHES_AHEAD = 2
"""Of each process, as Paddle's loader lets them wait; the trainer holds two more."""
_MARGIN = 1.5
"""Batches are not all of the size of the first."""


def fits_shared_memory(first_batch: Callable[[], Mapping[str, np.ndarray]], workers: int) -> bool:
    """Return whether the batches of `workers` processes fit into shared memory; log if not.

    A process that finds no room there is killed by the system (bus error). Docker gives a
    container 64 MB.

    Args:
        first_batch: reads a batch; called only where the room may be too small.
        workers: processes that read for this trainer.
    """
    free = _free_bytes()
    if free >= _PLENTY:
        return True
    trainers = int(os.environ.get("PADDLE_LOCAL_SIZE", 1))  # on this machine, says the launcher
    batch = sum(array.nbytes for array in first_batch().values())
    needed = int(_MARGIN * batch * (_BATCHES_AHEAD * workers + 2)) * trainers
    if needed <= free:
        return True
    _log.warning(
        "%s has %d MB free and %d workers may need %d MB: batches go through pipes, which takes "
        "longer; docker run --shm-size=%dg, or a smaller --num_workers, makes room",
        FOLDER,
        free >> 20,
        workers,
        -(-needed >> 20),
        -(-needed >> 30),
    )
    return False


def _free_bytes() -> int:
    """Return the free bytes of shared memory, no limit on systems that have no such folder."""
    if sys.platform != "linux":
        return _PLENTY
    try:
        state = os.statvfs(FOLDER)
    except OSError:
        return 0
    return state.f_bavail * state.f_frsize
