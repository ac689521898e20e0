"""Calls run one at a time; few wait, none for ever."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator

import pytest

from panoptic_deeplab.serving.turns import BusyError, Turns


@pytest.fixture
def turns() -> Iterator[Turns]:
    turns = Turns(max_waiting=1)
    yield turns
    turns.close()


def test_one_runs_one_waits_and_a_third_is_sent_away(turns: Turns) -> None:
    free, order = threading.Event(), []

    def first() -> str:
        order.append("first begins")
        free.wait(10)
        order.append("first ends")
        return "first"

    async def client() -> list[str]:
        both = [
            asyncio.create_task(turns.run(first, 10)),
            asyncio.create_task(turns.run(lambda: order.append("second") or "second", 10)),
        ]
        await asyncio.sleep(0.05)
        with pytest.raises(BusyError):
            await turns.run(lambda: "third", 10)
        free.set()
        return await asyncio.gather(*both)

    assert asyncio.run(client()) == ["first", "second"]
    assert order == ["first begins", "first ends", "second"]


def test_what_takes_too_long_is_given_up_and_what_waited_behind_it_never_runs(
    turns: Turns,
) -> None:
    ran, free = [], threading.Event()

    async def client() -> None:
        slow = asyncio.create_task(turns.run(lambda: free.wait(10), 0.1))
        late = asyncio.create_task(turns.run(lambda: ran.append("late"), 0.1))
        for task in (slow, late):
            with pytest.raises(TimeoutError):
                await task
        with pytest.raises(BusyError):  # the slow one is still at work, another waits
            await asyncio.gather(*(turns.run(time.time, 5) for _ in range(2)))
        free.set()
        await asyncio.sleep(0.05)
        assert await turns.run(lambda: "again", 5) == "again"

    asyncio.run(client())
    assert ran == []


def test_a_call_that_outlives_the_loop_ends_quietly(
    turns: Turns, caplog: pytest.LogCaptureFixture
) -> None:
    free, ended = threading.Event(), threading.Event()

    def slow() -> None:
        free.wait(10)
        ended.set()

    async def client() -> None:
        with pytest.raises(TimeoutError):
            await turns.run(slow, 0.05)

    asyncio.run(client())
    free.set()
    assert ended.wait(10)
    turns.close()
    assert caplog.text == ""


def test_an_error_comes_back_and_the_next_call_runs(turns: Turns) -> None:
    def fail() -> None:
        raise ValueError("no")

    async def client() -> str:
        with pytest.raises(ValueError, match="no"):
            await turns.run(fail, 5)
        return await turns.run(lambda: "next", 5)

    assert asyncio.run(client()) == "next"
