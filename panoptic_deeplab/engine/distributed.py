"""One process or many: which one this is, and what they tell each other."""

from __future__ import annotations

from typing import Any

import paddle
import paddle.distributed as dist

from panoptic_deeplab.errors import UsageError


def start(device: str) -> None:
    """Chooses the device and, under `paddle.distributed.launch`, joins the other processes.

    Args:
        device: auto, cpu or gpu; auto takes a GPU if Paddle sees one.

    Raises:
        UsageError: a GPU is asked for and there is none.
    """
    has_gpu = paddle.device.is_compiled_with_cuda() and paddle.device.cuda.device_count() > 0
    if device == "gpu" and not has_gpu:
        raise UsageError(
            "--device gpu: this Paddle sees no GPU; use --device cpu, or install paddlepaddle-gpu "
            "as the README says"
        )
    paddle.set_device("gpu" if has_gpu and device != "cpu" else "cpu")
    if world_size() > 1 and not dist.is_initialized():
        dist.init_parallel_env()


def rank() -> int:
    """The number of this process, 0 for the one that writes."""
    return dist.get_rank()


def world_size() -> int:
    """How many processes there are."""
    return dist.get_world_size()


def is_main() -> bool:
    """Whether this process is the one that writes."""
    return rank() == 0


def gather(value: Any) -> list[Any]:
    """What each process passes, in the order of their ranks, on all of them."""
    if world_size() == 1:
        return [value]
    values: list[Any] = []
    dist.all_gather_object(values, value)
    return values
