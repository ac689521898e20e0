"""A process of its own for each implementation, with its time and its memory."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import io
import math
import multiprocessing
import os
import pickle
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.pool import ExceptionWithTraceback
from pathlib import Path
from typing import Any, Protocol

from panoptic_deeplab.errors import UserError

Call = Callable[[], Any]


@dataclass(frozen=True)
class Run:
    """One call.

    Attributes:
        seconds: duration.
        peak_mb: peak memory (10^6 bytes) beyond what was held before.
        returned: what it returned.
    """

    seconds: float
    peak_mb: float
    returned: Any


class Runner(Protocol):
    """Prepares a call and makes it on demand; a context."""

    def __init__(self, prepare: Callable[[], Call], environment: Mapping[str, str]) -> None: ...

    def __enter__(self) -> Runner: ...

    def __exit__(self, *_: object) -> None: ...

    def measure(self) -> Run: ...

    def time(self) -> float: ...


class InPlace:
    """A runner within this process: quick to start, but without an environment of its own."""

    def __init__(self, prepare: Callable[[], Call], environment: Mapping[str, str]) -> None:
        with self._silently():
            self._call = prepare()

    def __enter__(self) -> InPlace:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def measure(self) -> Run:
        """Make the call."""
        with self._silently():
            return measure_call(self._call)

    def time(self) -> float:
        """Make the call and return its seconds."""
        with self._silently():
            return time_call(self._call)

    @contextlib.contextmanager
    def _silently(self) -> Iterator[None]:
        silence = io.StringIO()
        with contextlib.redirect_stdout(silence), contextlib.redirect_stderr(silence):
            yield


class Worker:
    """A fresh process that prepares a call and makes it on demand; a context.

    Args:
        prepare: makes the inputs and returns the call.
        environment: variables of the process, in addition to those of this process.
    """

    def __init__(self, prepare: Callable[[], Call], environment: Mapping[str, str]) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        # not a daemon: what is measured may start processes itself
        self._process = context.Process(target=_serve, args=(theirs, prepare))
        with _with_variables(environment):
            self._process.start()
        theirs.close()
        self._is_ready = False

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self._pipe.close()  # which ends the process, if it is idle
        self._process.join(timeout=1)
        self._process.kill()
        self._process.join()

    def measure(self) -> Run:
        """Make the call and bring back what it returned.

        Raises:
            UserError: the process ended.
            Exception: whatever the call raised.
        """
        return self._ask(measure_call)

    def time(self) -> float:
        """Make the call and return its seconds; raises as `measure` does."""
        return self._ask(time_call)

    def _ask(self, measurement: Callable[[Call], Any]) -> Any:
        if not self._is_ready:
            self._reply()
            self._is_ready = True
        self._pipe.send(measurement)
        return self._reply()

    def _reply(self) -> Any:
        try:
            reply = self._pipe.recv()
        except (EOFError, ConnectionResetError):
            self._process.join()
            raise UserError(
                f"a measured process ended with exit code {self._process.exitcode} (-9: killed, "
                "perhaps out of memory)"
            ) from None
        if isinstance(reply, BaseException):
            raise reply
        return reply


@contextlib.contextmanager
def _with_variables(variables: Mapping[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _serve(pipe: Connection, prepare: Callable[[], Call]) -> None:
    """Apply each received measurement to the call and send back its result or exception."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent's to handle
    _be_silent()
    try:
        call = prepare()
        pipe.send(None)
        with contextlib.suppress(EOFError):
            while True:
                pipe.send(pipe.recv()(call))
    except BrokenPipeError:
        return
    except Exception as error:
        pipe.send(_sendable(error))


def _be_silent() -> None:
    """Discard what the measured programs print; it does not belong in the table."""
    silence = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(silence, stream.fileno())
    os.close(silence)


def _sendable(error: Exception) -> Any:
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        error = RuntimeError(f"{type(error).__name__}: {error}").with_traceback(error.__traceback__)
    return ExceptionWithTraceback(error, error.__traceback__)


def measure_call(call: Call) -> Run:
    """Time and memory of one call in this process; free memory is returned to the system first."""
    gc.collect()
    before = _forget_peak()
    start = time.perf_counter()
    returned = call()
    seconds = time.perf_counter() - start
    return Run(seconds, _memory("VmHWM") - before, returned)


def time_call(call: Call) -> float:
    """Seconds of one call in this process, which keeps the memory of earlier calls."""
    gc.collect()
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _forget_peak() -> float:
    """Reset the high-water mark of memory to what is held now, and return that."""
    with contextlib.suppress(OSError):
        ctypes.CDLL(None).malloc_trim(0)  # returned to the system, so that using it again counts
        Path("/proc/self/clear_refs").write_text("5")
    return _memory("VmRSS")


def _memory(field: str) -> float:
    """A field of Linux's status of this process, in 10^6 bytes; NaN on other systems."""
    try:
        status = Path("/proc/self/status").read_text("ascii", "replace")
    except OSError:
        return math.nan
    return int(re.search(rf"{field}:\s+(\d+)", status)[1]) * 1024 / 1e6
