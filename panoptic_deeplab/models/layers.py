"""Layers that several networks are made of."""

from __future__ import annotations

import paddle
from paddle import nn
from paddleseg.models.layers import ConvBNReLU


class SeparableConvBNReLU(nn.Layer):
    """A depthwise and a pointwise convolution, each with batch norm and ReLU.

    The name `piontwise_conv` is spelt as in the published checkpoints.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int) -> None:
        super().__init__()
        self.depthwise_conv = ConvBNReLU(
            in_channels,
            in_channels,
            kernel_size,
            padding=kernel_size // 2,
            groups=in_channels,
            bias_attr=False,
        )
        self.piontwise_conv = ConvBNReLU(in_channels, out_channels, 1, bias_attr=False)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """[N, in_channels, H, W] -> [N, out_channels, H, W]."""
        return self.piontwise_conv(self.depthwise_conv(x))
