"""Two ways to one result, timed in turns.

Each way runs in a process of its own, so that neither warms up, clutters or configures the other;
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
    """Two ways gave different results: their times mean nothing."""


PATIENCE = 60.0
"""Seconds after which a contest is content with the rounds it has, be it only the first call."""

LEAST_MB = 1.0
"""Memory below which there is nothing to compare."""


class Entry(Protocol):
    """Something to measure: a `Contest`, or what measures itself in another manner."""

    name: str

    def run(self, repeats: int, runner: type[Runner]) -> Result: ...


class Subject(Protocol):
    """The face of a subject's module."""

    def contests(self, folder: Path, quick: bool) -> Iterable[Entry]:
        """What to measure; files may be written to `folder`; `quick` means small sizes."""


@dataclass(frozen=True)
class Way:
    """One way to a result.

    Attributes:
        prepare: makes the inputs and returns the call that is measured. A function of a module, or
            a partial of one: it is sent to another process.
        environment: variables of that process, beside this one's.
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
        spread, baseline_spread: half the distance of the quartiles, as a share of the median.
        repeats: calls that were timed of each, after a first that was not.
        baseline_name: what it is compared with.
        goal: the speedup that is aimed at.
        goal_mb: the memory that is aimed at.
        goal_memory: the same, in times the baseline's.
        memory_ratio: the memory in times the baseline's.
        note: what else is to be known.
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
        """Whether memory, and not time, is what two amounts of work are compared by."""
        return self.goal_memory is not None and self.goal is None

    @property
    def reached(self) -> bool | None:
        """Whether all goals are reached; None where there is none."""
        goals = [(self.goal, self.speedup, 1), (self.goal_mb, self.peak_mb, -1)]
        goals.append((self.goal_memory, self.memory_ratio, -1))
        verdicts = [sign * (value - goal) >= 0 for goal, value, sign in goals if goal is not None]
        return all(verdicts) if verdicts else None


@dataclass(frozen=True)
class Contest:
    """Our way against a baseline.

    Attributes:
        name: of what is done.
        ours, baseline: the two ways.
        baseline_name: what ours is compared with.
        goal, goal_mb, goal_memory: what is aimed at, as in `Result`.
        check: is given what both ways returned; raises `DisagreementError` where they differ.
        note: what else is to be known.
    """

    name: str
    ours: Way
    baseline: Way
    baseline_name: str
    goal: float | None = None
    goal_mb: float | None = None
    goal_memory: float | None = None
    check: Callable[[Any, Any], None] | None = None
    note: str = ""

    def run(self, repeats: int, runner: type[Runner] = Worker) -> Result:
        """Checks that both ways agree, then times them in turns.

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
            if sum(rounds[0]) < PATIENCE:  # beyond it, what a first call does besides is nothing
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
            memory_ratio=first.peak_mb / max(baseline_first.peak_mb, LEAST_MB),
            note=self.note,
        )


def _rounds(ours: Runner, baseline: Runner, repeats: int) -> Iterable[tuple[float, float]]:
    """The seconds of both, at least once, until they are enough or it has taken too long."""
    start = time.monotonic()
    for _ in range(repeats):
        yield ours.time(), baseline.time()
        if time.monotonic() - start > PATIENCE:
            return


def spread(seconds: Iterable[float]) -> float:
    """Half the distance of the quartiles, as a share of the median; 0 for a single value.

    >>> spread([9.0, 10.0, 11.0])
    0.05
    """
    values = sorted(seconds)
    if len(values) < 2:
        return 0.0
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return (high - low) / 2 / middle
