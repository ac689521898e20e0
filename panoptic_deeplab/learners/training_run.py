"""Where a training of a learner goes, and what it prints."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from panoptic_deeplab.engine import distributed

_package_log = logging.getLogger("panoptic_deeplab")


def new_run(logging_path: str) -> Path:
    """Return a folder of a training that is not there yet, named by date and time; one for all
    processes.
    """
    stem = time.strftime("%Y%m%d_%H%M%S")
    below = Path(logging_path).expanduser()
    names = (stem if number == 1 else f"{stem}_{number}" for number in count(1))
    name = next(name for name in names if not (below / name).exists())
    return below / distributed.gather(name)[0]


@contextmanager
def told(silent: bool) -> Iterator[None]:
    """Print the log of a training while the block runs, of a silent one warnings alone.

    All processes but the first are silent.

    It does not go to the root logger beside, where Paddle prints it once more. The level is the
    logger's own, for the progress bar replaces the handler by one that has none.
    """
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(logging.Formatter("%(asctime)s - %(levelname)s - %(message)s"))
    before = _package_log.level, _package_log.propagate
    _package_log.setLevel(logging.INFO if distributed.is_main() and not silent else logging.WARNING)
    _package_log.propagate = False
    _package_log.addHandler(handler)
    try:
        yield
    finally:
        _package_log.removeHandler(handler)
        level, _package_log.propagate = before
        _package_log.setLevel(level)
