"""Settings of the process: before its first computation, what it need not tell, when it ends."""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


def hide_harmless_warnings() -> None:
    """Hide warnings of libraries that no user can act upon.

    Paddle's own, which it writes past Python's, are hidden if it is imported later, and if nobody
    has set GLOG_minloglevel; its errors are shown.
    """
    os.environ.setdefault("GLOG_minloglevel", "2")
    for message in (
        "No ccache found",
        "When training, we now always track",
        "invalid escape",
        "There are some unused values in state_dict",  # a warm-up's, which Paddle sets all the same
    ):
        warnings.filterwarnings("ignore", message)


def open_closed_streams() -> None:
    """Lead standard streams that the process was started without (`2>&-`) nowhere.

    Otherwise what is told has no place to go, and the first file that is opened becomes the
    standard error that the libraries write to.
    """
    while (handle := os.open(os.devnull, os.O_RDWR)) <= _STANDARD_ERROR:
        os.set_inheritable(handle, True)  # the lowest free number is one of theirs
    os.close(handle)
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            stream = open(os.devnull, mode, encoding="utf-8")  # noqa: SIM115 (till the end)
            setattr(sys, name, stream)


_STANDARD_ERROR = 2


_THREADS = "OMP_NUM_THREADS"
_is_chosen = bool(os.environ.get(_THREADS))


def has_free_threads() -> bool:
    """Whether nobody has chosen a number of threads: what Paddle sets on import is no choice."""
    return not _is_chosen and os.environ.get(_THREADS, "1") == "1"


def prefer_fast_blas() -> None:
    """Let the MKL that Paddle brings use AVX2 on processors that are not Intel's.

    It judges by the maker's name and falls back to SSE elsewhere: on an AMD EPYC a matrix product
    ran at 38 GFLOP/s a core, with this at 95, and a training step took half the time. MKL reads
    the variable at its first call, so Paddle may be imported already. Whoever sets the variable
    (to 0, to keep MKL's own choice) is obeyed.
    """
    if "MKL_DEBUG_CPU_TYPE" not in os.environ and _is_avx2_of_another_maker():
        os.environ["MKL_DEBUG_CPU_TYPE"] = "5"


def keep_freed_memory() -> None:
    """Let the C library keep freed blocks of some megabytes for the next ones of that size.

    It gives them back at once otherwise, and each new map of an image costs a page fault for every
    four kilobytes: reading the ids of an image of 1024 x 2048 took 31 ms, with this 23. Whoever
    sets MALLOC_MMAP_THRESHOLD_ is obeyed. Without glibc nothing happens.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None and "MALLOC_MMAP_THRESHOLD_" not in os.environ:
        mallopt(_MMAP_THRESHOLD, 1 << 25)  # the largest that every glibc takes
        mallopt(_TRIM_THRESHOLD, 1 << 28)


_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # as malloc.h numbers them


@contextmanager
def making_many_objects() -> Iterator[None]:
    """Look for no garbage while the block makes objects that stay, as imports and long lists do.

    Looking through them again and again takes a tenth of the time of importing Paddle, and a third
    of that of reading a journal of millions of lines. Afterwards they are put among the oldest,
    which are searched seldom.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            if gc.get_freeze_count() == 0:  # else they are somebody's who wants them frozen
                gc.freeze()
                gc.unfreeze()
            gc.enable()


def end_with_parent(parent: int, last_act: Callable[[], None]) -> None:
    """End this process when the one that started it ends, however that ends.

    Elsewhere than on Linux nothing happens.

    Args:
        parent: the process id of the one that started it, which may have ended by now.
        last_act: what to do before the end, in at most some seconds.
    """

    def end(number: int, frame: FrameType | None) -> None:
        last_act()
        os._exit(1)

    if sys.platform == "linux":
        signal.signal(signal.SIGHUP, end)
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGHUP)
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGHUP)


_PR_SET_PDEATHSIG = 1  # as linux/prctl.h numbers it


def _is_avx2_of_another_maker() -> bool:
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
            processor = file.read(4096)
    except OSError:
        return False
    return "GenuineIntel" not in processor and " avx2 " in processor and " fma " in processor
