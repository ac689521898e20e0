"""EfficientNet (Tan and Le, ICML 2019, https://arxiv.org/abs/1905.11946) as EfficientPS has it."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import paddle
from paddle import nn

from panoptic_deeplab.models.conv_norm import convolution, leaky
from panoptic_deeplab.models.published_names import PublishedNames
from panoptic_deeplab.registry import BACKBONES

VARIANTS = {
    "b0": (1.0, 1.0),
    "b1": (1.0, 1.1),
    "b2": (1.1, 1.2),
    "b3": (1.2, 1.4),
    "b4": (1.4, 1.8),
    "b5": (1.6, 2.2),
}
"""Factors of the channels and of the blocks."""

EPSILON = 1e-3
"""Of the batch norms, as in TensorFlow and the published weights."""


class Stage(NamedTuple):
    """Blocks of one width in B0."""

    kernel_size: int
    blocks: int
    stride: int
    channels: int


STAGES = (
    Stage(3, 1, 1, 16),
    Stage(3, 2, 2, 24),
    Stage(5, 2, 2, 40),
    Stage(3, 3, 2, 80),
    Stage(5, 3, 1, 112),
    Stage(5, 4, 2, 192),
    Stage(3, 1, 1, 320),
)
STEM_CHANNELS, HEAD_CHANNELS, EXPANSION = 32, 1280, 6
TAPPED_STAGES = (1, 2, 4)


@BACKBONES.add_component
class EfficientNet(PublishedNames):
    """EfficientNet without squeeze and excitation, with leaky ReLU for swish.

    Convolutions are padded as TensorFlow's "SAME", which follows from each input's size. So the
    features at stride s have ceil(side / s) locations on a side. The names of the state dict are
    those of the authors' checkpoints.

    Args:
        variant: b0 to b5.
        width: factor of the channels instead of the variant's.
        depth: factor of the blocks instead of the variant's.
    """

    def __init__(
        self,
        variant: Literal["b0", "b1", "b2", "b3", "b4", "b5"] = "b5",
        width: float | None = None,
        depth: float | None = None,
    ) -> None:
        super().__init__()
        width = VARIANTS[variant][0] if width is None else width
        depth = VARIANTS[variant][1] if depth is None else depth
        stem = round_channels(STEM_CHANNELS * width)
        head = round_channels(HEAD_CHANNELS * width)
        stages = [
            stage._replace(
                blocks=math.ceil(stage.blocks * depth),
                channels=round_channels(stage.channels * width),
            )
            for stage in STAGES
        ]
        inputs = [stem, *(stage.channels for stage in stages)]
        self.conv_stem = convolution(3, stem, 3, stride=2, padding="SAME")
        self.bn1 = _norm(stem)
        self.blocks = nn.LayerList(
            _stage(SeparableBlock if i == 0 else InvertedResidual, inputs[i], stage)
            for i, stage in enumerate(stages)
        )
        self.conv_head = convolution(inputs[-1], head, 1)
        self.bn2 = _norm(head)
        self.feat_channels = [*(stages[i].channels for i in TAPPED_STAGES), head]

    def forward(self, images: paddle.Tensor) -> list[paddle.Tensor]:
        """[N, 3, H, W] -> the features at strides 4, 8, 16 and 32."""
        x = leaky(self.bn1(self.conv_stem(images)))
        features = []
        for i, stage in enumerate(self.blocks):
            x = stage(x)
            if i in TAPPED_STAGES:
                features.append(x)
        return [*features, leaky(self.bn2(self.conv_head(x)))]


class SeparableBlock(nn.Layer):
    """A depthwise and a pointwise convolution, the block of the first stage.

    As in the authors' code and unlike the paper, an activation follows the pointwise one too.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, stride: int) -> None:
        super().__init__()
        self.has_shortcut = stride == 1 and in_channels == out_channels
        self.conv_dw = _depthwise(in_channels, kernel_size, stride)
        self.bn1 = _norm(in_channels)
        self.conv_pw = convolution(in_channels, out_channels, 1)
        self.bn2 = _norm(out_channels)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """[N, in_channels, H, W] -> [N, out_channels, ceil(H / stride), ceil(W / stride)]."""
        inner = leaky(self.bn1(self.conv_dw(x)))
        inner = leaky(self.bn2(self.conv_pw(inner)))
        return inner + x if self.has_shortcut else inner


class InvertedResidual(nn.Layer):
    """A 1x1 convolution to six times the channels, a depthwise one, and a linear projection."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, stride: int) -> None:
        super().__init__()
        self.has_shortcut = stride == 1 and in_channels == out_channels
        wide = EXPANSION * in_channels
        self.conv_pw = convolution(in_channels, wide, 1)
        self.bn1 = _norm(wide)
        self.conv_dw = _depthwise(wide, kernel_size, stride)
        self.bn2 = _norm(wide)
        self.conv_pwl = convolution(wide, out_channels, 1)
        self.bn3 = _norm(out_channels)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """[N, in_channels, H, W] -> [N, out_channels, ceil(H / stride), ceil(W / stride)]."""
        inner = leaky(self.bn1(self.conv_pw(x)))
        inner = leaky(self.bn2(self.conv_dw(inner)))
        inner = self.bn3(self.conv_pwl(inner))
        return inner + x if self.has_shortcut else inner


def round_channels(channels: float, divisor: int = 8) -> int:
    """The nearest multiple of `divisor` that is not below nine tenths of `channels`."""
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded if rounded >= 0.9 * channels else rounded + divisor


def _stage(block: type[nn.Layer], in_channels: int, stage: Stage) -> nn.Sequential:
    """The first block changes channels and size, the others keep them."""
    first = block(in_channels, stage.channels, stage.kernel_size, stage.stride)
    others = [
        block(stage.channels, stage.channels, stage.kernel_size, 1) for _ in range(stage.blocks - 1)
    ]
    return nn.Sequential(first, *others)


def _depthwise(channels: int, kernel_size: int, stride: int) -> nn.Conv2D:
    return convolution(
        channels, channels, kernel_size, stride=stride, padding="SAME", groups=channels
    )


def _norm(channels: int) -> nn.BatchNorm2D:
    return nn.BatchNorm2D(channels, epsilon=EPSILON)
