"""One process or many: the rank of this one, and messages between them.

Paddle is imported only where it computes: one process can run an exported file without it.
"""

from __future__ import annotations

import os
import re
from typing import Any

from panoptic_deeplab.errors import UsageError


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


def explain_lost_process(error: Exception) -> str | None:
    """Return what an error of the connection to other processes means, None for other errors.

    On CPUs the processes talk by gloo, which waits for 30 seconds and cannot be told to wait
    longer; on GPUs they wait for half an hour.
    """
    if not re.search(r"\bgloo\b", str(error)):
        return None
    return (
        "another process of this run ended or did not answer for 30 seconds (it was paused, or "
        "the machine is overloaded), which ends a run on CPUs; go on from the last checkpoint with "
        "--resume_model auto"
    )


def gather(value: Any) -> list[Any]:
    """Return the values of all processes in the order of their ranks, on every process."""
    if world_size() == 1:
        return [value]
    import paddle.distributed as dist

    values: list[Any] = []
    dist.all_gather_object(values, value)
    return values
