"""ResNet (He et al., CVPR 2016, https://arxiv.org/abs/1512.03385) in torchvision's form."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

import paddle
import paddle.nn.functional as F
from paddle import nn
from paddle.vision.models.resnet import BasicBlock, BottleneckBlock

from panoptic_deeplab.errors import UsageError
from panoptic_deeplab.models.layers import refuse_impossible
from panoptic_deeplab.registry import BACKBONES

LAYOUTS = {
    18: (BasicBlock, (2, 2, 2, 2)),
    34: (BasicBlock, (3, 4, 6, 3)),
    50: (BottleneckBlock, (3, 4, 6, 3)),
    101: (BottleneckBlock, (3, 4, 23, 3)),
    152: (BottleneckBlock, (3, 8, 36, 3)),
}
"""Depth -> kind of the blocks, and how many each stage has."""

Norm = Callable[[int], nn.Layer]
"""Channels -> norm."""

FIXED = partial(nn.BatchNorm2D, use_global_stats=True)

NORMS: dict[str, Norm] = {
    "batch": nn.BatchNorm2D,
    "instance": nn.InstanceNorm2D,
    "fixed": FIXED,
    "frozen": FIXED,
}

STAGES = 5
"""The stem and four of blocks."""


@BACKBONES.add_component
class ResNet(nn.Layer):
    """The features at strides 4, 8, 16 and 32, or 16 twice. Blocks and their names are Paddle's.

    Args:
        depth: 18, 34, 50, 101 or 152 layers.
        width: channels of the stem; 64 in the published networks.
        stride_in_1x1: a stage strides in its first 1x1 convolution, as in the authors' weights, not
            in the 3x3 convolution. Only from depth 50 on.
        frozen_stages: stages, the stem being the first of five, that keep their weights and the
            statistics of their norms.
        norm: `batch` or `instance` norms that learn; `fixed`: batch norms that keep their
            statistics and learn scale and shift (mmdetection's `norm_eval`); `frozen`: batch norms
            that learn nothing (detectron2's `FrozenBN`).
        deep_stem: three 3x3 convolutions, of which the last has twice the channels, in place of the
            7x7 one (DeepLab's ResNet-52).
        output_stride: 32, or 16: then the last stage has dilated convolutions in place of its
            stride. Only from depth 50 on.
        multi_grid: factors of that dilation in the blocks of the last stage
            (https://arxiv.org/abs/1706.05587, section 3.2.1); 1 where it is not given.
    """

    def __init__(
        self,
        depth: int = 50,
        width: int = 64,
        stride_in_1x1: bool = False,
        frozen_stages: int = 2,
        norm: Literal["batch", "instance", "fixed", "frozen"] = "fixed",
        deep_stem: bool = False,
        output_stride: Literal[32, 16] = 32,
        multi_grid: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        if depth not in LAYOUTS:
            raise UsageError(f"depth must be one of {', '.join(map(str, LAYOUTS))}, got {depth}")
        if not 0 <= frozen_stages <= STAGES:
            raise UsageError(f"frozen_stages must be in 0..{STAGES}, got {frozen_stages}")
        block, counts = LAYOUTS[depth]
        if stride_in_1x1 and block is BasicBlock:
            raise UsageError(f"stride_in_1x1 needs a depth of 50 or more, got {depth}")
        if output_stride == 16 and block is BasicBlock:
            raise UsageError(f"output_stride 16 needs a depth of 50 or more, got {depth}")
        multi_grid = [1] * counts[-1] if multi_grid is None else multi_grid
        if len(multi_grid) != counts[-1]:
            raise UsageError(
                f"multi_grid needs a factor for each of the {counts[-1]} blocks of the last stage, "
                f"got {list(multi_grid)}"
            )
        refuse_impossible(multi_grid=multi_grid)
        norms = [FIXED if stage < frozen_stages else NORMS[norm] for stage in range(STAGES)]
        channels = self._add_stem(width, deep_stem, norms[0])
        stages, self.feat_channels = [], []
        for i, count in enumerate(counts):
            inner = width * 2**i
            is_dilated = i == 3 and output_stride == 16
            stride = 1 if i == 0 or is_dilated else 2
            dilations = [2 * factor for factor in multi_grid] if is_dilated else [1] * count
            shape = (channels, inner, stride, dilations)
            stages.append(_stage(block, *shape, norms[i + 1], stride_in_1x1))
            channels = inner * block.expansion
            self.feat_channels.append(channels)
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self._freeze(frozen_stages, norm == "frozen")

    def forward(self, images: paddle.Tensor) -> list[paddle.Tensor]:
        """[N, 3, H, W] -> the features, fine to coarse."""
        x = images
        for conv, norm in self._stem():
            x = F.relu(norm(conv(x)))
        x = F.max_pool2d(x, 3, stride=2, padding=1)
        features = []
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = stage(x)
            features.append(x)
        return features

    def _add_stem(self, width: int, deep: bool, norm: Norm) -> int:
        """Make the convolutions before the stages and return the channels of their result."""
        kernel_size = 3 if deep else 7
        self.conv1 = nn.Conv2D(
            3, width, kernel_size, stride=2, padding=kernel_size // 2, bias_attr=False
        )
        self.bn1 = norm(width)
        if not deep:
            return width
        self.conv2 = nn.Conv2D(width, width, 3, padding=1, bias_attr=False)
        self.bn2 = norm(width)
        self.conv3 = nn.Conv2D(width, 2 * width, 3, padding=1, bias_attr=False)
        self.bn3 = norm(2 * width)
        return 2 * width

    def _stem(self) -> list[tuple[nn.Layer, nn.Layer]]:
        """The stem's convolutions and their norms."""
        first = (self.conv1, self.bn1)
        if not hasattr(self, "conv3"):
            return [first]
        return [first, (self.conv2, self.bn2), (self.conv3, self.bn3)]

    def _freeze(self, stages: int, norms: bool) -> None:
        """Exclude the first stages, and all norms if asked for, from training."""
        stem = [part for pair in self._stem() for part in pair]
        frozen = [stem, [self.layer1], [self.layer2], [self.layer3], [self.layer4]][:stages]
        parts = [part for stage in frozen for part in stage]
        if norms:
            parts += [part for part in self.sublayers() if isinstance(part, nn.BatchNorm2D)]
        for part in parts:
            for parameter in part.parameters():
                parameter.stop_gradient = True


def _stage(
    block: type[BasicBlock | BottleneckBlock],
    in_channels: int,
    channels: int,
    stride: int,
    dilations: Sequence[int],
    norm: Norm,
    stride_in_1x1: bool,
) -> nn.Sequential:
    """Blocks in a row, one of each dilation; the first changes the channels and strides."""
    out_channels = channels * block.expansion
    shortcut = None
    if stride != 1 or in_channels != out_channels:
        conv = nn.Conv2D(in_channels, out_channels, 1, stride=stride, bias_attr=False)
        shortcut = nn.Sequential(conv, norm(out_channels))
    first = block(in_channels, channels, stride, shortcut, dilation=dilations[0], norm_layer=norm)
    if stride_in_1x1:
        first.conv1._stride, first.conv2._stride = first.conv2._stride, first.conv1._stride
    others = (
        block(out_channels, channels, dilation=dilation, norm_layer=norm)
        for dilation in dilations[1:]
    )
    return nn.Sequential(first, *others)
