"""One process or many: the rank of this one, and messages between them.

Paddle is imported only where it computes: one process can run an exported file without it.
"""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable
from typing import Any

from panoptic_deeplab.errors import UsageError

_SECONDS_BETWEEN_LOOKS = 0.05

_LAUNCHER = os.getppid() if "PADDLE_LOCAL_RANK" in os.environ else None
"""The process that has started this one as one of several."""


def start(device: str) -> None:
    """Choose the device and, under `paddle.distributed.launch`, join the other processes.

    Args:
        device: auto, cpu or gpu; auto takes a GPU if Paddle sees one.

    Raises:
        UsageError: a GPU is asked for and there is none.
    """
    import paddle

    has_gpu = paddle.device.is_compiled_with_cuda() and paddle.device.cuda.device_count() > 0
    if device == "gpu" and not has_gpu:
        raise UsageError(
            "--device gpu: this Paddle sees no GPU; use --device cpu, or install paddlepaddle-gpu "
            "as the README says"
        )
    paddle.set_device("gpu" if has_gpu and device != "cpu" else "cpu")
    join()


def join() -> None:
    """Under `paddle.distributed.launch`, connect to the other processes, once."""
    if world_size() > 1:
        import paddle
        import paddle.distributed as dist

        if paddle.device.get_device() == "cpu":
            # The launcher says so itself, but not where CUDA_VISIBLE_DEVICES is set.
            os.environ.setdefault("PADDLE_DISTRI_BACKEND", "gloo")
        if not dist.is_initialized():
            dist.init_parallel_env()


def rank() -> int:
    """Return the number of this process; process 0 writes the files."""
    return int(os.environ.get("PADDLE_TRAINER_ID", 0))  # as the launcher tells its children


def world_size() -> int:
    """Return the number of processes."""
    return int(os.environ.get("PADDLE_TRAINERS_NUM", 1))


def is_main() -> bool:
    """Return whether this process writes the files."""
    return rank() == 0


def has_lost_launcher() -> bool:
    """Return whether the launcher has ended, which can stop no process any more."""
    return _LAUNCHER not in (None, os.getppid())


def explain_lost_process(error: Exception) -> str | None:
    """Return what an error of the connection to other processes means, None for other errors.

    On CPUs the processes talk by gloo, which waits for 30 seconds and cannot be told to wait
    longer; on GPUs they wait for half an hour.
    """
    if not re.search(r"\bgloo\b", str(error)):
        return None
    return (
        "another process of this run ended or did not answer for 30 seconds (it was paused, or "
        "the machine is overloaded), which ends a run on CPUs; a training goes on from its last "
        "checkpoint with --resume_model auto"
    )


def gather(value: Any) -> list[Any]:
    """Return the values of all processes in the order of their ranks, on every process."""
    if world_size() == 1:
        return [value]
    import paddle.distributed as dist

    values: list[Any] = []
    dist.all_gather_object(values, value)
    return values


def gather_patiently(value: Any, is_stopped: Callable[[], bool]) -> list[Any]:
    """As `gather`, for processes that may come here minutes apart.

    On CPUs `gather` itself waits for 30 seconds at most, but notices at once that another process
    has ended.

    Args:
        value: of this process.
        is_stopped: whether a signal asked this process to stop, after which the others are given no
            more time than `gather` gives; the launcher sends one when another process has ended.
    """
    if world_size() > 1:
        _meet(is_stopped)
    return gather(value)


def _meet(is_stopped: Callable[[], bool]) -> None:
    """Wait until each process has called this as often as this one has, or for the signal."""
    everyone = _count(f"meetings of {rank()}", 1) * world_size()
    _count("meetings", 1)
    while _count("meetings", 0) < everyone and not is_stopped():
        time.sleep(_SECONDS_BETWEEN_LOOKS)


def _count(name: str, number: int) -> int:
    """Add to a number that all processes share and return it; signals wait until that is done.

    A signal would end the exchange in its middle, and with it the connection.
    """
    from paddle.base import core

    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
    try:
        return core.create_or_get_global_tcp_store().add(name, number)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
