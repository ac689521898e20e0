"""Where Paddle computes in this process."""

from __future__ import annotations

import paddle


def on_gpu() -> bool:
    """Return whether Paddle computes on a GPU."""
    return paddle.device.get_device() != "cpu"
