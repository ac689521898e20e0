"""Where the time goes: seconds by step, and a table of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

Item = TypeVar("Item")


class Stopwatch:
    """Seconds spent in named steps, added up over threads.

    Args:
        settle: called before the end of a step is read; on a GPU what waits for its work.

    Attributes:
        seconds: by step.
    """

    def __init__(self, settle: Callable[[], None] = lambda: None) -> None:
        self.seconds: dict[str, float] = {}
        self._settle = settle
        self._lock = threading.Lock()

    @contextmanager
    def timing(self, step: str) -> Iterator[None]:
        """Counts the block as time of `step`."""
        start = time.perf_counter()
        yield
        self._settle()
        with self._lock:
            self.seconds[step] = self.seconds.get(step, 0.0) + time.perf_counter() - start

    def waiting(self, step: str, items: Iterable[Item]) -> Iterator[Item]:
        """The items; the time until each is there counts as time of `step`."""
        iterator = iter(items)
        while True:
            with self.timing(step):
                item = next(iterator, _END)
            if item is _END:
                return
            yield item


_END = object()


def format_profile(seconds: Mapping[str, float], total: float, count: int, unit: str) -> str:
    """A table of the steps, the longest first.

    Args:
        seconds: by step.
        total: that all took, by the clock. Steps in threads beside each other may add up to more.
        count: how many times each was done.
        unit: what was done so often, in the singular.

    >>> print(format_profile({"reading": 1.0, "network": 5.0}, 8.0, 4, "image"))
    step          seconds  per image   ratio
    network           5.0      1.2500    62 %
    reading           1.0      0.2500    12 %
    all else          2.0      0.5000    25 %
    altogether        8.0      2.0000   100 %
    """
    steps = sorted(seconds.items(), key=lambda step: -step[1])
    rest = total - sum(seconds.values())
    steps += [("all else", rest)] if rest >= 0 else []
    lines = [f"{'step':12}  {'seconds':>7}  {'per ' + unit:>10}   ratio"]
    lines += [
        f"{step:12}  {value:7.1f}  {value / max(count, 1):10.4f}  {value / total:5.0%}".replace(
            "%", " %"
        )
        for step, value in [*steps, ("altogether", total)]
    ]
    if rest < 0:
        lines.append("(some steps ran beside others: together they are more than the whole)")
    return "\n".join(lines)
