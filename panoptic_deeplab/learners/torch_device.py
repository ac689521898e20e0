"""Devices by the names that PyTorch, and so OpenDR, gives them."""

from __future__ import annotations

import logging

from panoptic_deeplab.errors import UsageError

_log = logging.getLogger(__name__)


def start(device: str) -> None:
    """Let Paddle compute on a device by its name in PyTorch."""
    from panoptic_deeplab.inference.loading import import_paddle

    kind, _, number = device.partition(":")
    if kind not in ("cpu", "cuda", "gpu") or not (number or "0").isdecimal():
        raise UsageError(f"device: expected cpu, cuda or cuda:N, got {device!r:.50}")
    import_paddle()
    import paddle

    from panoptic_deeplab.device import on_gpu
    from panoptic_deeplab.engine import distributed

    distributed.start("cpu" if kind == "cpu" else "auto")
    if number and on_gpu() and distributed.world_size() == 1:  # else the launcher chooses
        paddle.set_device(f"gpu:{number}")
    if kind != "cpu" and not on_gpu():
        _log.info("device %s: Paddle sees no GPU, so the CPU computes", device)
