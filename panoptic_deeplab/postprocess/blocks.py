"""Long arrays in blocks that stay in a core's cache, shared by the cores."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

_MOST_THREADS = 4  # beyond it the interpreter's lock takes what is gained


def for_blocks(step: Callable[[slice], None], length: int, block: int) -> None:
    """Calls `step` with consecutive slices of 0..length, at most `block` long, on several threads.

    numpy lets go of the interpreter's lock while it computes. Each call writes its own part.
    """
    slices = [slice(start, min(start + block, length)) for start in range(0, length, block)]
    threads = min(os.cpu_count() or 1, _MOST_THREADS, len(slices))
    if threads <= 1:
        for part in slices:
            step(part)
        return
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(step, slices):
            pass
