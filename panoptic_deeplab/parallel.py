"""Work on all cores: processes for computing, threads for reading ahead."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

MAX_WORKERS = 256


def in_parallel(
    function: Callable[[Item], Result], items: Sequence[Item], num_workers: int, title: str
) -> Iterator[Result]:
    """Yield `function` of each item, in order, with a progress bar.

    The processes are spawned, not forked: they share no state, so their number changes nothing.
    """
    from panoptic_deeplab.progress import progress_bar

    progress = partial(progress_bar, title=title, total=len(items), unit="files", hidden=not items)
    if min(num_workers, len(items)) <= 1:
        yield from progress(map(function, items))
        return
    context = multiprocessing.get_context("spawn")
    chunk = max(1, min(4, len(items) // (8 * num_workers)))
    with context.Pool(min(num_workers, len(items)), _start_worker) as pool:
        yield from progress(pool.imap(function, items, chunk))


def read_ahead(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    num_workers: int,
    per_thread: int = 2,
) -> Generator[Result, None, None]:
    """Yield `map(function, items)`, computed up to some items per thread ahead of its use.

    The items themselves are taken by the thread that uses the results. Closed, or at an error, it
    waits for what its threads have begun.
    """
    if num_workers == 0:
        yield from map(function, items)
        return
    with ThreadPoolExecutor(num_workers) as pool:
        waiting: deque[Any] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > per_thread * num_workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _start_worker() -> None:
    """Leave Ctrl-C to the parent, and end with the parent even if it is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()

    def follow() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


@contextmanager
def ending_on_sigterm() -> Iterator[None]:
    """Let SIGTERM end the block as Ctrl-C does, so that temporary folders are removed.

    Outside the main thread, which alone may handle signals, nothing changes.

    Raises:
        KeyboardInterrupt: with the signal's number, which `command_line.run` makes an exit code.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt(number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
