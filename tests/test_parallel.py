"""Reading ahead in threads: the order, the end and the errors are those of a plain loop."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from panoptic_deeplab.parallel import read_ahead


@pytest.mark.parametrize("num_workers", [0, 1, 3])
def test_reading_ahead_keeps_the_order(num_workers: int) -> None:
    def slow_for_some(number: int) -> int:
        time.sleep(0.002 * (number % 3))
        return number * number

    assert list(read_ahead(slow_for_some, range(20), num_workers)) == [n * n for n in range(20)]


def test_reading_ahead_stops_with_its_user() -> None:
    started = threading.active_count()
    reader = read_ahead(lambda n: n, range(10**9), 2)
    assert next(reader) == 0
    reader.close()
    assert threading.active_count() == started


def test_reading_ahead_takes_no_more_items_than_it_may() -> None:
    taken = []

    def items() -> Iterator[int]:
        for number in range(9):
            taken.append(number)
            yield number

    for number in read_ahead(lambda n: n, items(), 1, per_thread=1):
        assert len(taken) == min(number + 2, 9)


def test_reading_ahead_passes_errors_on() -> None:
    with pytest.raises(ZeroDivisionError):
        list(read_ahead(lambda n: 1 // n, [1, 0, 1], 2))
