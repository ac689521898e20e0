"""EfficientPS's semantic head (https://arxiv.org/abs/2004.02307, section 3.3)."""

from __future__ import annotations

from collections.abc import Sequence

import paddle
from paddle import nn

from panoptic_deeplab.models.conv_norm import ConvNorm, SeparableConvNorm, convolution
from panoptic_deeplab.resample import resize_map

DPC_DILATIONS = ((1, 6), (1, 1), (6, 21), (18, 15), (6, 3))
"""(y, x) of the dense prediction cell's convolutions, in the order of the checkpoints."""


class SemanticDPCHead(nn.Layer):
    """Context from the coarse levels (DPC), detail from the fine ones (LSFE), joined by MC.

    As in the authors' code, the map at stride 32 is added to the map at stride 16 only for the
    mismatch correction, not where the four maps are joined.

    Args:
        num_classes: semantic classes.
        in_channels: of each level.
        channels: of each branch.
    """

    def __init__(self, num_classes: int, in_channels: int = 256, channels: int = 128) -> None:
        super().__init__()
        self.lateral_convs_ss = nn.LayerList(
            DensePredictionCell(in_channels, channels) for _ in range(2)
        )
        self.lateral_convs_ls = nn.LayerList(TwoConvs(in_channels, channels) for _ in range(2))
        self.aligning_convs = nn.LayerList(TwoConvs(channels, channels) for _ in range(2))
        self.conv_logits = nn.Conv2D(4 * channels, num_classes, 1)

    def forward(self, levels: Sequence[paddle.Tensor]) -> paddle.Tensor:
        """Maps at strides 4, 8, 16, 32 -> logits [N, num_classes, h, w] at stride 4."""
        at_4, at_8, at_16, at_32 = levels
        context_32, context_16 = self.lateral_convs_ss[0](at_32), self.lateral_convs_ss[1](at_16)
        detail_8, detail_4 = self.lateral_convs_ls[0](at_8), self.lateral_convs_ls[1](at_4)
        correct_16, correct_8 = self.aligning_convs

        aligned_8 = detail_8 + _up(correct_16(context_16 + _up(context_32, context_16)), detail_8)
        aligned_4 = detail_4 + _up(correct_8(aligned_8), detail_4)
        coarser = [_up(x, aligned_4) for x in (aligned_8, context_16, context_32)]
        return self.conv_logits(paddle.concat([aligned_4, *coarser], axis=1))


class TwoConvs(nn.Layer):
    """Two separable convolutions: large scale feature extraction, mismatch correction."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.convs = nn.Sequential(
            SeparableConvNorm(in_channels, channels), SeparableConvNorm(channels, channels)
        )

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """[N, in_channels, H, W] -> [N, channels, H, W]."""
        return self.convs(x)


class DensePredictionCell(nn.Layer):
    """Dilated separable convolutions, in a chain and side by side (Chen et al., NeurIPS 2018)."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.convs = nn.LayerList(
            SeparableConvNorm(in_channels, in_channels, dilation) for dilation in DPC_DILATIONS
        )
        self.conv = ConvNorm(convolution(len(DPC_DILATIONS) * in_channels, channels, 1))

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """[N, in_channels, H, W] -> [N, channels, H, W]."""
        first, near, far, farther, last = self.convs
        x = first(x)
        distant = farther(x)
        return self.conv(paddle.concat([x, near(x), far(x), distant, last(distant)], axis=1))


def _up(x: paddle.Tensor, like: paddle.Tensor) -> paddle.Tensor:
    return resize_map(x, like.shape[2:], align_corners=False)
