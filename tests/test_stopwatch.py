"""Seconds by step, on a clock that the tests set."""

from __future__ import annotations

import pytest

from panoptic_deeplab import stopwatch
from panoptic_deeplab.stopwatch import Stopwatch, format_profile


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock whose only entry is the time."""
    now = [0.0]
    monkeypatch.setattr(stopwatch.time, "perf_counter", lambda: now[0])
    return now


def test_times_of_a_step_add_up(clock: list[float]) -> None:
    watch = Stopwatch()
    for seconds in (1.0, 2.0):
        with watch.timing("reading"):
            clock[0] += seconds
        clock[0] += 10
    assert watch.seconds == {"reading": 3.0}


def test_waiting_is_for_the_next_item_not_for_its_use(clock: list[float]) -> None:
    def slowly() -> object:
        for item in "ab":
            clock[0] += 2
            yield item

    watch, used = Stopwatch(), ""
    for item in watch.waiting("reading", slowly()):
        used += item
        clock[0] += 5
    assert used == "ab"
    assert watch.seconds == {"reading": 4.0}


def test_a_step_ends_when_its_work_has_settled(clock: list[float]) -> None:
    def settle() -> None:
        clock[0] += 3

    watch = Stopwatch(settle)
    with watch.timing("network"):
        clock[0] += 1
    assert watch.seconds == {"network": 4.0}


def test_parallel_steps_may_take_more_than_the_total() -> None:
    table = format_profile({"reading": 5.0, "network": 5.0}, 8.0, 0, "image")
    assert "other" not in table
    assert "ran in parallel" in table
