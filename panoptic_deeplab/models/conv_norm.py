"""Convolution, batch norm and leaky ReLU, the units that EfficientPS is made of.

In the paper batch norm and activation are one in-place operator, which saves memory in training
and scales by |weight| + eps. Here they are the plain layers; the conversion of published weights
puts |weight| + eps into `weight`, after which both compute the same.
"""

from __future__ import annotations

import math

import paddle
import paddle.nn.functional as F
from paddle import nn

NEGATIVE_SLOPE = 0.01


def leaky(x: paddle.Tensor) -> paddle.Tensor:
    """The activation of all units."""
    return F.leaky_relu(x, NEGATIVE_SLOPE)


def convolution(
    in_channels: int,
    out_channels: int,
    kernel_size: int,
    *,
    stride: int = 1,
    padding: int | tuple[int, int] | str = 0,
    dilation: int | tuple[int, int] = 1,
    groups: int = 1,
) -> nn.Conv2D:
    """A convolution without bias, initialized for the number of connections of each output.

    Paddle's own divides by all input channels, which makes depthwise convolutions vanish.
    """
    fan_out = kernel_size**2 * out_channels // groups
    normal = nn.initializer.Normal(0.0, math.sqrt(2 / fan_out))
    return nn.Conv2D(
        in_channels,
        out_channels,
        kernel_size,
        stride,
        padding,
        dilation,
        groups,
        weight_attr=paddle.ParamAttr(initializer=normal),
        bias_attr=False,
    )


def depthwise(channels: int, dilation: tuple[int, int] = (1, 1)) -> nn.Conv2D:
    """A 3x3 convolution of each channel alone that keeps the size; `dilation` is (y, x)."""
    return convolution(channels, channels, 3, padding=dilation, dilation=dilation, groups=channels)


class ConvNorm(nn.Layer):
    """Convolution, batch norm, leaky ReLU."""

    def __init__(self, conv: nn.Conv2D) -> None:
        super().__init__()
        self.conv = conv
        self.bn = nn.BatchNorm2D(conv._out_channels)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """[N, in_channels, H, W] -> [N, out_channels, H', W']."""
        return leaky(self.bn(self.conv(x)))


class SeparableConvNorm(nn.Layer):
    """A depthwise 3x3 and a pointwise convolution, each with batch norm and leaky ReLU.

    Args:
        in_channels: of the input.
        out_channels: of the output.
        dilation: (y, x) of the depthwise convolution.
    """

    def __init__(
        self, in_channels: int, out_channels: int, dilation: tuple[int, int] = (1, 1)
    ) -> None:
        super().__init__()
        self.depthwise_conv = ConvNorm(depthwise(in_channels, dilation))
        self.pointwise_conv = ConvNorm(convolution(in_channels, out_channels, 1))

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """[N, in_channels, H, W] -> [N, out_channels, H, W]."""
        return self.pointwise_conv(self.depthwise_conv(x))


def use_instance_norm(network: nn.Layer) -> None:
    """Replace each batch norm by an instance norm.

    With one or two images a step the running statistics that batch norm predicts with fit no image;
    an instance norm takes each image's own, in training and prediction.
    """
    for part in network.sublayers(include_self=True):
        for name, norm in list(part.named_children()):
            if isinstance(norm, nn.BatchNorm2D):
                instance_norm = nn.InstanceNorm2D(norm._num_features, epsilon=norm._epsilon)
                setattr(part, name, instance_norm)
