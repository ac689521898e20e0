"""Single, half and mixed precision, with the loss scaling that fp16 needs."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import paddle
from paddle import nn

from panoptic_deeplab.device import on_gpu
from panoptic_deeplab.errors import UsageError

_log = logging.getLogger(__name__)

PRECISIONS = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}
LEVELS = ("O1", "O2")

_CAPABILITIES = {"fp16": (7, 0), "bf16": (8, 0)}
"""Compute capability that Paddle asks of a GPU; it would leave an older one in fp32, silently."""

_HALF = (paddle.float16, paddle.bfloat16)
_FLOAT_LAYERS = [nn.InstanceNorm1D, nn.InstanceNorm2D, nn.InstanceNorm3D]
"""Their kernel reads its parameters as float32 whatever the input is; Paddle sees to it in fp16
alone."""

_FIRST_LOSS_SCALE = 2.0**15
"""At 2^10 the first gradients of a loss with a factor of 0.001, divided among all pixels, are
subnormal numbers of fp16."""

_WHITE_LIST = {"depthwise_conv2d"}
"""Has half-precision kernels, but Paddle's list for O1 knows only conv2d."""


class Precision:
    """Number types that a training computes with.

    Args:
        name: fp32, fp16 or bf16.
        level: O1 computes chosen operators in half precision, O2 all but a few, with the weights
            kept in single precision by the optimizer.

    On a CPU bf16 is accepted and computed as fp32, with a warning: paddlepaddle 3.3 has the type
    but no kernels for it there.

    Raises:
        UsageError: fp16 on a CPU, or a GPU that is too old for the precision.
    """

    def __init__(self, name: str = "fp32", level: str = "O1") -> None:
        if on_gpu():
            _refuse_old_gpu(name)
        elif name == "fp16":
            raise UsageError("--precision fp16 needs a GPU; on a CPU use --precision bf16 or fp32")
        elif name == "bf16":
            _log.warning("Paddle has no bf16 kernels for this CPU: it computes in fp32")
            name = "fp32"
        self.name = name
        self.level = level
        self.scaler = paddle.amp.GradScaler(
            enable=name == "fp16", init_loss_scaling=_FIRST_LOSS_SCALE
        )

    def prepare(
        self, model: nn.Layer, optimizer: paddle.optimizer.Optimizer
    ) -> tuple[nn.Layer, paddle.optimizer.Optimizer]:
        """Return model and optimizer with weights of the chosen type."""
        if self.name == "fp32" or self.level == "O1":
            return model, optimizer
        return paddle.amp.decorate(
            model,
            optimizer,
            level="O2",
            dtype=PRECISIONS[self.name],
            excluded_layers=_FLOAT_LAYERS,
        )

    def autocast(self) -> AbstractContextManager[Any]:
        """Return the context of the forward pass."""
        if self.name == "fp32":
            return nullcontext()
        return paddle.amp.auto_cast(
            custom_white_list=_WHITE_LIST, level=self.level, dtype=PRECISIONS[self.name]
        )

    def run(self, network: Callable[..., dict[str, Any]], *inputs: Any) -> dict[str, Any]:
        """Run a network in this precision; return its outputs, half-precision ones as float32."""
        with self.autocast():
            outputs = network(*inputs)
        return {name: _single(value) for name, value in outputs.items()}

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


def _refuse_old_gpu(name: str) -> None:
    if name not in _CAPABILITIES:
        return
    needed, found = _CAPABILITIES[name], paddle.device.cuda.get_device_capability()
    if found < needed:
        raise UsageError(
            f"--precision {name} needs a GPU of compute capability {needed[0]}.{needed[1]}, this "
            f"one has {found[0]}.{found[1]}; use --precision fp32"
        )


def single_precision_weights(
    model: nn.Layer, optimizer: paddle.optimizer.Optimizer
) -> dict[str, paddle.Tensor]:
    """Return the state dict of a model in float32.

    Of a weight in half precision it holds what the optimizer keeps in float32, from the first step
    on; the others are the model's own tensors.
    """
    masters = optimizer._master_weights  # of level O2, by the name of the parameter
    return {
        name: masters[value.name] if value.name in masters else _single(value)
        for name, value in model.state_dict().items()
    }


def _single(value: Any) -> Any:
    """Return a half-precision tensor as float32, anything else as it is."""
    is_half = isinstance(value, paddle.Tensor) and value.dtype in _HALF
    return value.astype("float32") if is_half else value
