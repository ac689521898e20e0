"""Seconds by step, and a table of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

from panoptic_deeplab.text_table import align

Item = TypeVar("Item")


class Stopwatch:
    """Seconds spent in named steps, added up over threads.

    Args:
        settle: called before the end of a step is read, for example to wait for a GPU.

    Attributes:
        seconds: by step.
    """

    def __init__(self, settle: Callable[[], None] = lambda: None) -> None:
        self.seconds: dict[str, float] = {}
        self._settle = settle
        self._lock = threading.Lock()

    @contextmanager
    def timing(self, step: str) -> Iterator[None]:
        """Count the block as time of `step`."""
        start = time.perf_counter()
        yield
        self._settle()
        with self._lock:
            self.seconds[step] = self.seconds.get(step, 0.0) + time.perf_counter() - start

    def waiting(self, step: str, items: Iterable[Item]) -> Iterator[Item]:
        """Yield the items; the wait for each counts as time of `step`."""
        iterator = iter(items)
        while True:
            with self.timing(step):
                item = next(iterator, _END)
            if item is _END:
                return
            yield item


_END = object()


def format_profile(seconds: Mapping[str, float], total: float, count: int, unit: str) -> str:
    """Return a table of the steps, the longest first.

    Args:
        seconds: by step.
        total: wall time. Steps in parallel threads may add up to more.
        count: number of units.
        unit: what was counted, in the singular.

    >>> print(format_profile({"reading": 1.0, "network": 5.0}, 8.0, 4, "image"))
    step     seconds  per image  of total
    -------------------------------------
    network      5.0     1.2500       62%
    reading      1.0     0.2500       12%
    other        2.0     0.5000       25%
    total        8.0     2.0000      100%
    """
    steps = sorted(seconds.items(), key=lambda step: -step[1])
    rest = total - sum(seconds.values())
    steps += [("other", rest)] if rest >= 0 else []
    rows = [
        [step, f"{value:.1f}", f"{value / max(count, 1):.4f}", f"{value / total:.0%}"]
        for step, value in [*steps, ("total", total)]
    ]
    table = align([["step", "seconds", f"per {unit}", "of total"], *rows])
    if rest < 0:
        table += "\n(some steps ran in parallel: together they take more than the total)"
    return table
