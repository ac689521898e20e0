"""Single, half and mixed precision, with the loss scaling that fp16 needs."""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import paddle
from paddle import nn

from panoptic_deeplab.errors import UsageError

_log = logging.getLogger(__name__)

PRECISIONS = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}
LEVELS = ("O1", "O2")


class Precision:
    """Number types that a training computes with.

    Args:
        name: fp32, fp16 or bf16.
        level: O1 computes chosen operators in half precision, O2 all but a few, with the weights
            kept in single precision by the optimizer.

    On a CPU bf16 is accepted and computed as fp32, with a warning: paddlepaddle 3.3 has the type
    but no kernels for it there.

    Raises:
        UsageError: fp16 on a CPU.
    """

    def __init__(self, name: str = "fp32", level: str = "O1") -> None:
        on_cpu = paddle.device.get_device() == "cpu"
        if on_cpu and name == "fp16":
            raise UsageError("--precision fp16 needs a GPU; on a CPU use --precision bf16 or fp32")
        if on_cpu and name == "bf16":
            _log.warning("Paddle has no bf16 kernels for this CPU: it computes in fp32")
            name = "fp32"
        self.name = name
        self.level = level
        self.scaler = paddle.amp.GradScaler(enable=name == "fp16", init_loss_scaling=1024)

    def prepare(
        self, model: nn.Layer, optimizer: paddle.optimizer.Optimizer
    ) -> tuple[nn.Layer, paddle.optimizer.Optimizer]:
        """Return model and optimizer with weights of the chosen type."""
        if self.name == "fp32" or self.level == "O1":
            return model, optimizer
        return paddle.amp.decorate(model, optimizer, level="O2", dtype=PRECISIONS[self.name])

    def autocast(self) -> AbstractContextManager[Any]:
        """Return the context of the forward pass."""
        if self.name == "fp32":
            return nullcontext()
        return paddle.amp.auto_cast(level=self.level, dtype=PRECISIONS[self.name])

    def backward(self, loss: paddle.Tensor) -> None:
        """Add the gradients of `loss`, scaled where fp16 needs it."""
        self.scaler.scale(loss).backward()

    def step(self, optimizer: paddle.optimizer.Optimizer) -> None:
        """Apply the gradients; in fp16 a step with an overflow is skipped and halves the scale."""
        self.scaler.step(optimizer)
        self.scaler.update()

    @property
    def overflow_is_handled(self) -> bool:
        """Whether the loss scaling handles gradients that are not finite."""
        return self.name == "fp16"
