"""What actors spend their time on: told with each block of results, and added up here."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

import pyarrow as pa

TIMES = "times"
"""Column of a block, filled in its first row alone."""

_STEPS = pa.map_(pa.string(), pa.float64())
_TYPE = pa.struct([("began", pa.float64()), ("computing", _STEPS), ("beside", _STEPS)])


class Spent(NamedTuple):
    """Seconds by step.

    Attributes:
        computing: steps of the model.
        beside: other steps, which threads do meanwhile.
    """

    computing: Mapping[str, float]
    beside: Mapping[str, float]


def with_times(block: pa.Table, began: float, before: Spent, after: Spent) -> pa.Table:
    """Return the results of a block with what its actor spent on it.

    Args:
        block: with one row or more.
        began: when, in seconds since the epoch.
        before: what the actor had spent by then.
        after: what it has spent now.
    """
    computing, beside = (
        [(step, seconds - old.get(step, 0.0)) for step, seconds in new.items()]
        for old, new in zip(before, after, strict=True)
    )
    first = {"began": began, "computing": computing, "beside": beside}
    rows = pa.array([first, *[None] * (block.num_rows - 1)], _TYPE)
    return block.append_column(TIMES, rows)


class Times:
    """The times of all blocks.

    Attributes:
        computing: seconds of all actors by step of the model.
        beside: seconds of their other steps.
    """

    def __init__(self) -> None:
        self.computing: Counter[str] = Counter()
        self.beside: Counter[str] = Counter()
        self._began = time.time()
        self._first = float("inf")

    def add(self, block: pa.Table) -> None:
        """Take in the times of a block."""
        for row in block[TIMES].drop_null().to_pylist():
            self._first = min(self._first, row["began"])
            self.computing.update(dict(row["computing"]))
            self.beside.update(dict(row["beside"]))

    @property
    def starting(self) -> float:
        """Seconds until the first actor began, by the clocks of two machines."""
        return max(0.0, min(self._first, time.time()) - self._began)

    @property
    def working(self) -> float:
        """Seconds since then."""
        now = time.time()
        return now - min(self._first, now)
