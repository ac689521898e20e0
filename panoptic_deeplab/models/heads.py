"""Prediction heads of Panoptic-DeepLab."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import paddle
from paddle import nn

from panoptic_deeplab.models.layers import SeparableConvBNReLU, two_conv_bn_relu


class PredictionHeads(nn.Layer):
    """For each named output a 5x5 separable convolution, or two plain ones, and a 1x1 convolution.

    Args:
        outputs: name -> channels.
        in_channels: of the decoder.
        head_channels: before the 1x1 convolution.
        plain: names of the outputs that have two plain 3x3 convolutions.
    """

    def __init__(
        self,
        outputs: Mapping[str, int],
        in_channels: int,
        head_channels: int,
        plain: Collection[str] = (),
    ) -> None:
        super().__init__()
        self.names = list(outputs)
        self.classifier = nn.LayerList(
            nn.Sequential(
                two_conv_bn_relu(in_channels, in_channels, head_channels)
                if name in plain
                else SeparableConvBNReLU(in_channels, head_channels, 5),
                nn.Conv2D(head_channels, channels, 1),
            )
            for name, channels in outputs.items()
        )

    def forward(self, x: paddle.Tensor) -> dict[str, paddle.Tensor]:
        """[N, in_channels, H, W] -> a map of each name."""
        return {name: head(x) for name, head in zip(self.names, self.classifier)}
