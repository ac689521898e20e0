"""Between a backbone and the heads: features of all strides made of one width."""

from __future__ import annotations

from collections.abc import Sequence

import paddle
import paddle.nn.functional as F
from paddle import nn

from panoptic_deeplab.models.conv_norm import ConvNorm, convolution, depthwise, leaky


class TwoWayFPN(nn.Layer):
    """EfficientPS's feature pyramid: a top-down and a bottom-up branch and their sum (section 3.2).

    Args:
        in_channels: of the backbone's features, fine to coarse.
        channels: of all outputs.
        separable: whether the output convolutions are depthwise separable, as in the paper; the
            released code has plain ones.
    """

    def __init__(
        self, in_channels: Sequence[int], channels: int = 256, separable: bool = False
    ) -> None:
        super().__init__()
        output = SeparableOutput if separable else _plain_output
        self.lateral_convs_top = nn.LayerList(
            ConvNorm(convolution(c, channels, 1)) for c in in_channels
        )
        self.lateral_convs_bottom = nn.LayerList(  # coarse to fine
            ConvNorm(convolution(c, channels, 1)) for c in reversed(in_channels)
        )
        self.fpn_convs = nn.LayerList(output(channels) for _ in in_channels)

    def forward(self, features: Sequence[paddle.Tensor]) -> list[paddle.Tensor]:
        """Features fine to coarse -> as many maps [N, channels, h, w] of their sizes."""
        down = [conv(x) for conv, x in zip(self.lateral_convs_top, features)]
        up = [conv(x) for conv, x in zip(reversed(self.lateral_convs_bottom), features)]
        for fine in reversed(range(len(down) - 1)):
            down[fine] = down[fine] + _nearest(down[fine + 1], down[fine])
        for coarse in range(1, len(up)):
            # The bottom-up branch starts at the finest map and halves it on each step.
            up[coarse] = up[coarse] + _nearest(up[coarse - 1], up[coarse])
        return [conv(a + b) for conv, a, b in zip(self.fpn_convs, down, up)]


class FPN(nn.Layer):
    """The feature pyramid of Lin et al. (CVPR 2017, https://arxiv.org/abs/1612.03144).

    Args:
        in_channels: of the backbone's features, fine to coarse.
        channels: of all outputs.
    """

    def __init__(self, in_channels: Sequence[int], channels: int = 256) -> None:
        super().__init__()
        self.lateral_convs = nn.LayerList(
            nn.Sequential(("conv", nn.Conv2D(c, channels, 1))) for c in in_channels
        )
        self.fpn_convs = nn.LayerList(
            nn.Sequential(("conv", nn.Conv2D(channels, channels, 3, padding=1)))
            for _ in in_channels
        )

    def forward(self, features: Sequence[paddle.Tensor]) -> list[paddle.Tensor]:
        """Features fine to coarse -> maps [N, channels, h, w] of their sizes and one of half the
        size of the coarsest.
        """
        down = [conv(x) for conv, x in zip(self.lateral_convs, features)]
        for fine in reversed(range(len(down) - 1)):
            down[fine] = down[fine] + _nearest(down[fine + 1], down[fine])
        levels = [conv(x) for conv, x in zip(self.fpn_convs, down)]
        return [*levels, levels[-1][:, :, ::2, ::2]]


class SeparableOutput(nn.Layer):
    """A depthwise 3x3 and a pointwise convolution, then one batch norm and leaky ReLU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.depthwise_conv = depthwise(channels)
        self.pointwise_conv = convolution(channels, channels, 1)
        self.bn = nn.BatchNorm2D(channels)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """[N, channels, H, W] -> the same shape."""
        return leaky(self.bn(self.pointwise_conv(self.depthwise_conv(x))))


def _plain_output(channels: int) -> ConvNorm:
    return ConvNorm(convolution(channels, channels, 3, padding=1))


def _nearest(x: paddle.Tensor, like: paddle.Tensor) -> paddle.Tensor:
    return F.interpolate(x, like.shape[2:], mode="nearest")
