"""Layers that several networks are made of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import paddle
import paddle.nn.functional as F
from paddle import nn
from paddle.distributed.fleet.utils import recompute
from paddleseg.models.layers import ConvBNReLU

from panoptic_deeplab.errors import UsageError


def refuse_impossible(minimum: int = 1, **sizes: Sequence[int]) -> None:
    """Refuse numbers of channels, dilations and the like, by argument, that no layer can have.

    Raises:
        UsageError: one is below `minimum` or above 32,768.
    """
    for name, numbers in sizes.items():
        wrong = [number for number in numbers if not minimum <= number <= _LARGEST]
        if wrong:
            raise UsageError(f"{name}: expected numbers in {minimum}..{_LARGEST}, got {wrong[0]}")


_LARGEST = 1 << 15


class ReluOfSum(nn.Layer):
    """The ReLU of the sum of two maps."""

    def forward(self, x: paddle.Tensor, y: paddle.Tensor) -> paddle.Tensor:
        """Two [N, C, H, W] -> [N, C, H, W]."""
        return F.relu(x + y)

    def forward_in_place(self, x: paddle.Tensor, y: paddle.Tensor) -> paddle.Tensor:
        """The same in the memory of `y`, which nobody may need later; without gradients."""
        return F.relu_(y.add_(x))


class SeparableConvBNReLU(nn.Layer):
    """A depthwise and a pointwise convolution, each with batch norm and ReLU.

    The name `piontwise_conv` is spelled as in the published checkpoints.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, dilation: int = 1
    ) -> None:
        super().__init__()
        self.depthwise_conv = ConvBNReLU(
            in_channels,
            in_channels,
            kernel_size,
            padding=kernel_size // 2 * dilation,
            dilation=dilation,
            groups=in_channels,
            bias_attr=False,
        )
        self.piontwise_conv = ConvBNReLU(in_channels, out_channels, 1, bias_attr=False)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """[N, in_channels, H, W] -> [N, out_channels, H, W]."""
        return self.piontwise_conv(self.depthwise_conv(x))


def two_conv_bn_relu(in_channels: int, channels: int, out_channels: int) -> nn.Sequential:
    """Two 3x3 convolutions, each with batch norm and ReLU, which see as far as a 5x5 one."""
    return nn.Sequential(
        ConvBNReLU(in_channels, channels, 3, padding=1, bias_attr=False),
        ConvBNReLU(channels, out_channels, 3, padding=1, bias_attr=False),
    )


def run(layer: nn.Layer, inputs: Any, *, recompute: bool) -> Any:
    """`layer(inputs)`, with activation checkpointing if `recompute`."""
    return checkpointed(layer, inputs) if recompute else layer(inputs)


def checkpointed(layer: nn.Layer, inputs: Any) -> Any:
    """`layer(inputs)` that keeps no activations: the backward pass computes them again.

    Saves memory for a second forward pass (Chen et al., https://arxiv.org/abs/1604.06174). Outputs
    and gradients are those of `layer(inputs)`: dropout draws the same numbers again, and the
    running statistics of batch norm are updated once, in the first pass.
    """
    passes = iter([layer])

    def forward(inputs: Any, *_: paddle.Tensor) -> Any:
        if next(passes, None) is not None:
            return layer(inputs)
        with frozen_running_statistics(layer):
            return layer(inputs)

    # The reentrant form loses the gradients of a layer whose input needs none, such as images;
    # parameters among the arguments keep Paddle from warning of that.
    return recompute(forward, inputs, *layer.parameters(), use_reentrant=False)


@contextmanager
def frozen_running_statistics(layer: nn.Layer) -> Iterator[None]:
    """Keep the running mean and variance of the batch norms in `layer` as they are."""
    norms = [part for part in layer.sublayers(include_self=True) if hasattr(part, "_momentum")]
    momenta = [norm._momentum for norm in norms]
    try:
        for norm in norms:
            norm._momentum = 1.0  # of the old value
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm._momentum = momentum
