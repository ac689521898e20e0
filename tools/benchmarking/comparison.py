"""Two implementations of one computation, timed alternately.

Each runs in a process of its own, so that neither warms up, clutters or configures the other;
rounds alternate between the two, so that a machine that is busy for a while slows down both.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from benchmarking.processes import Call, Runner, Worker
from panoptic_deeplab.errors import UserError


class DisagreementError(UserError):
    """Two implementations gave different results: their times mean nothing."""


PATIENCE = 60.0
"""Seconds after which a comparison starts no further round, even if only the first call is done."""

MIN_MB = 1.0
"""Memory below which memory is not compared."""


class Entry(Protocol):
    """Something to measure: a `Comparison`, or an object that measures itself otherwise."""

    name: str

    def run(self, repeats: int, runner: type[Runner]) -> Result: ...


class Subject(Protocol):
    """The interface of a subject's module."""

    def comparisons(self, folder: Path, quick: bool) -> Iterable[Entry]:
        """What to measure; files may be written to `folder`; `quick` means small sizes."""


@dataclass(frozen=True)
class Implementation:
    """One implementation to measure.

    Attributes:
        prepare: makes the inputs and returns the call that is measured. A module-level function or
            a partial of one, because it is sent to another process.
        environment: variables of that process, in addition to those of this process.
    """

    prepare: Callable[[], Call]
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Result:
    """What was measured.

    Attributes:
        name: of what was measured.
        seconds, baseline_seconds: medians.
        peak_mb, baseline_peak_mb: memory (10^6 bytes) that the first call needed beyond what its
            process held before; NaN where the system does not tell.
        spread, baseline_spread: half the interquartile range, as a fraction of the median.
        repeats: timed calls of each, after a first call that does not count.
        baseline_name: what it is compared with.
        goal: target speedup.
        goal_mb: target memory (10^6 bytes).
        goal_memory: target ratio of the memory to that of the baseline.
        memory_ratio: memory divided by that of the baseline.
        note: a remark for the reader.
    """

    name: str
    seconds: float
    baseline_seconds: float
    baseline_name: str
    peak_mb: float = math.nan
    baseline_peak_mb: float = math.nan
    spread: float = 0.0
    baseline_spread: float = 0.0
    repeats: int = 1
    goal: float | None = None
    goal_mb: float | None = None
    goal_memory: float | None = None
    memory_ratio: float = math.nan
    note: str = ""

    @property
    def speedup(self) -> float:
        """How many times as fast as the baseline."""
        return self.baseline_seconds / self.seconds

    @property
    def is_of_memory(self) -> bool:
        """Whether memory is compared, and not time."""
        return self.goal_memory is not None and self.goal is None

    @property
    def reached(self) -> bool | None:
        """Whether all goals are reached; None where there is none."""
        goals = [(self.goal, self.speedup, 1), (self.goal_mb, self.peak_mb, -1)]
        goals.append((self.goal_memory, self.memory_ratio, -1))
        verdicts = [sign * (value - goal) >= 0 for goal, value, sign in goals if goal is not None]
        return all(verdicts) if verdicts else None


@dataclass(frozen=True)
class Comparison:
    """Our implementation against a baseline.

    Attributes:
        name: of what is done.
        ours, baseline: the two implementations.
        baseline_name: what ours is compared with.
        goal, goal_mb, goal_memory: targets, as in `Result`.
        check: takes what both returned; raises `DisagreementError` where they differ.
        note: a remark for the reader.
    """

    name: str
    ours: Implementation
    baseline: Implementation
    baseline_name: str
    goal: float | None = None
    goal_mb: float | None = None
    goal_memory: float | None = None
    check: Callable[[Any, Any], None] | None = None
    note: str = ""

    def run(self, repeats: int, runner: type[Runner] = Worker) -> Result:
        """Check that both agree, then time them alternately.

        Raises:
            DisagreementError: their results differ.
            UserError: a process ended before its time.
        """
        with (
            runner(self.ours.prepare, self.ours.environment) as ours,
            runner(self.baseline.prepare, self.baseline.environment) as baseline,
        ):
            first, baseline_first = ours.measure(), baseline.measure()
            if self.check is not None:
                self.check(first.returned, baseline_first.returned)
            rounds = [(first.seconds, baseline_first.seconds)]
            if sum(rounds[0]) < PATIENCE:  # then the extra work of a first call is negligible
                rounds = list(_rounds(ours, baseline, repeats))
        seconds, baseline_seconds = zip(*rounds, strict=True)
        return Result(
            name=self.name,
            seconds=statistics.median(seconds),
            baseline_seconds=statistics.median(baseline_seconds),
            baseline_name=self.baseline_name,
            peak_mb=first.peak_mb,
            baseline_peak_mb=baseline_first.peak_mb,
            spread=spread(seconds),
            baseline_spread=spread(baseline_seconds),
            repeats=len(rounds),
            goal=self.goal,
            goal_mb=self.goal_mb,
            goal_memory=self.goal_memory,
            memory_ratio=first.peak_mb / max(baseline_first.peak_mb, MIN_MB),
            note=self.note,
        )


def _rounds(ours: Runner, baseline: Runner, repeats: int) -> Iterable[tuple[float, float]]:
    """Yield the seconds of both, `repeats` times or until `PATIENCE` is used up."""
    start = time.monotonic()
    for _ in range(repeats):
        yield ours.time(), baseline.time()
        if time.monotonic() - start > PATIENCE:
            return


def spread(seconds: Iterable[float]) -> float:
    """Half the interquartile range as a fraction of the median; 0 for a single value.

    >>> spread([9.0, 10.0, 11.0])
    0.05
    """
    values = sorted(seconds)
    if len(values) < 2:
        return 0.0
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return (high - low) / 2 / middle
