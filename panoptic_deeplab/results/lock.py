"""Who may write into a folder of results: one prediction, of one process or several."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from panoptic_deeplab.folder_lock import claimed

LOCK_FILE = ".results.lock"
"""Held by the first process of a prediction; process N of it holds `.results.lock.N`."""


@contextmanager
def held(folder: str | Path, rank: int = 0) -> Iterator[None]:
    """Hold an existing folder for a prediction while the block runs.

    Args:
        folder: of the results.
        rank: the number of this process; all others hold the folder after the first one.

    Raises:
        UsageError: another prediction writes there, be it by a process that has outlived its first.
    """
    if rank:
        with claimed(folder, "prediction", f"{LOCK_FILE}.{rank}"):
            yield
        return
    with claimed(folder, "prediction", LOCK_FILE):
        for path in sorted(Path(folder).glob(f"{LOCK_FILE}.*")):
            with claimed(folder, "prediction", path.name):
                pass
        yield
