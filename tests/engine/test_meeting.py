"""Processes that meet: the first waits for the last, but not after a signal."""

from __future__ import annotations

import threading

import pytest
from paddle.base import core

from panoptic_deeplab.engine import distributed


class Store:
    """Counts by name, as Paddle's store does for all processes."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}

    def add(self, name: str, number: int) -> int:
        self.counts[name] = self.counts.get(name, 0) + number
        return self.counts[name]


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Store:
    """The store of two processes, of which this one is the first."""
    store = Store()
    monkeypatch.setattr(core, "create_or_get_global_tcp_store", lambda: store)
    monkeypatch.setattr(distributed, "world_size", lambda: 2)
    monkeypatch.setattr(distributed, "gather", lambda value: [value, "other"])
    return store


def test_a_process_waits_until_the_others_come(store: Store) -> None:
    for meeting in (1, 2):
        timer = threading.Timer(0.3, lambda: store.add("meetings", 1))
        timer.start()
        assert distributed.gather_patiently(meeting, lambda: False) == [meeting, "other"]
        assert store.counts["meetings"] == 2 * meeting
        timer.join()


def test_after_a_signal_it_goes_on(store: Store) -> None:
    assert distributed.gather_patiently(1, lambda: True) == [1, "other"]
    assert store.counts["meetings"] == 1


def test_one_process_is_alone() -> None:
    assert distributed.gather_patiently(1, lambda: True) == [1]
