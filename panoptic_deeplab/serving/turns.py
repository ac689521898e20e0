"""One prediction at a time, and a few that wait."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


class BusyError(Exception):
    """As many wait as may."""


class Turns:
    """A thread that works off calls one after the other.

    Args:
        max_waiting: calls that may wait beside the one at work.
    """

    def __init__(self, max_waiting: int) -> None:
        self._limit = max_waiting + 1
        self._count = 0
        self._counting = threading.Lock()
        self._thread = ThreadPoolExecutor(1, "prediction")

    def check_free(self) -> None:
        """Raise BusyError where no call could wait."""
        if self._count >= self._limit:
            raise BusyError

    async def run(self, call: Callable[[], T], seconds: float) -> T:
        """Run a call when its turn comes, and return what it returns.

        Raises:
            BusyError: too many wait already.
            TimeoutError: it is not done after so many seconds. If it still waits, it never runs.
        """
        self.check_free()
        self._add(1)
        work = self._thread.submit(call)
        work.add_done_callback(lambda _: self._add(-1))
        try:
            return await asyncio.wait_for(asyncio.wrap_future(work), seconds)
        except asyncio.TimeoutError as error:  # of Python 3.10, no TimeoutError yet
            raise TimeoutError from error

    def _add(self, calls: int) -> None:
        with self._counting:
            self._count += calls

    def close(self) -> None:
        """Let no waiting call begin."""
        self._thread.shutdown(wait=False, cancel_futures=True)
