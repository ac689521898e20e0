"""The two branches of SOLOv2's head: cells with their kernels, and the features of all masks."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import paddle
import paddle.nn.functional as F
from paddle import nn

from panoptic_deeplab.errors import UsageError

GROUPS = 32
"""Of the group norms."""

CELL_OUTPUTS = ("category_logits", "kernels", "mask_features")
"""Names of what the head returns."""

_LEVELS = 5

_PRIOR = 0.01
"""Probability of each class in each cell before training, as RetinaNet's."""


class SoloHead(nn.Layer):
    """A class and a kernel for each cell, and the features that kernels make masks of.

    Names of the state dict are mmdetection's.

    Args:
        num_things: thing classes T.
        in_channels: of each of the five levels.
        channels: of the towers.
        stacked_convs: convolutions in each tower.
        grids: cells on each side, level by level.
        kernel_channels: E, of kernels and mask features.
        mask_channels: of the mask branch before its last convolution.
    """

    def __init__(
        self,
        num_things: int,
        in_channels: int,
        channels: int,
        stacked_convs: int,
        grids: Sequence[int],
        kernel_channels: int,
        mask_channels: int = 128,
    ) -> None:
        super().__init__()
        if len(grids) != _LEVELS:
            raise UsageError(f"grids: expected {_LEVELS}, one for each level, got {len(grids)}")
        self.grids = tuple(grids)
        self.cls_convs = _tower(in_channels, channels, stacked_convs)
        self.kernel_convs = _tower(in_channels + 2, channels, stacked_convs)
        self.conv_cls = _predictor(channels, num_things, bias=-math.log(1 / _PRIOR - 1))
        self.conv_kernel = _predictor(channels, kernel_channels, bias=0.0)
        self.mask_feature_head = MaskFeatures(in_channels, mask_channels, kernel_channels)

    def forward(
        self, levels: Sequence[paddle.Tensor]
    ) -> tuple[paddle.Tensor, paddle.Tensor, paddle.Tensor]:
        """Maps at strides 4, 8, 16, 32 and 64 -> what makes instances, in float32.

        Returns:
            logits [N, cells, T] and kernels [N, cells, E] of the cells of all levels, row by row in
            each; mask features [N, E, h, w] at stride 4, not negative.
        """
        finest, second, third, fourth, coarsest = levels
        resized = [
            _resize(finest, second.shape[2:]),
            *(second, third, fourth),
            _resize(coarsest, fourth.shape[2:]),
        ]
        logits, kernels = zip(*(self._cells(x, grid) for x, grid in zip(resized, self.grids)))
        masks = self.mask_feature_head(levels[:4])
        parts = (paddle.concat(logits, 1), paddle.concat(kernels, 1), masks)
        return tuple(part.astype("float32") for part in parts)

    def _cells(self, level: paddle.Tensor, grid: int) -> tuple[paddle.Tensor, paddle.Tensor]:
        """Logits [N, grid * grid, T] and kernels [N, grid * grid, E] of one level."""
        placed = _resize(with_coordinates(level), [grid, grid])
        logits = self.conv_cls(self.cls_convs(placed[:, :-2]))
        kernels = self.conv_kernel(self.kernel_convs(placed))
        cells = grid * grid
        return tuple(
            x.reshape([0, x.shape[1], cells]).transpose([0, 2, 1]) for x in (logits, kernels)
        )


class MaskFeatures(nn.Layer):
    """The maps at strides 4, 8, 16 and 32 brought to stride 4 and added.

    Args:
        in_channels: of the levels.
        channels: of the sum.
        out_channels: of the features.
    """

    def __init__(self, in_channels: int, channels: int, out_channels: int) -> None:
        super().__init__()
        self.convs_all_levels = nn.LayerList(
            _upsampling(in_channels + 2 * (level == 3), channels, level) for level in range(4)
        )
        self.conv_pred = GroupNormUnit(channels, out_channels, 1)

    def forward(self, levels: Sequence[paddle.Tensor]) -> paddle.Tensor:
        """Four maps, fine to coarse -> [N, out_channels, h, w], of the finest's size."""
        *fine, coarsest = levels
        size = levels[0].shape[2:]
        maps = zip(self.convs_all_levels, [*fine, with_coordinates(coarsest)])
        return self.conv_pred(sum(_resize(convs(x), size) for convs, x in maps))


class GroupNormUnit(nn.Layer):
    """Convolution, group norm, ReLU."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int) -> None:
        super().__init__()
        normal = paddle.ParamAttr(initializer=nn.initializer.Normal(0.0, 0.01))
        self.conv = nn.Conv2D(
            in_channels,
            out_channels,
            kernel_size,
            padding=kernel_size // 2,
            weight_attr=normal,
            bias_attr=False,
        )
        self.gn = nn.GroupNorm(min(GROUPS, out_channels), out_channels)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """[N, in_channels, H, W] -> [N, out_channels, H, W]."""
        return F.relu(self.gn(self.conv(x)))


class Doubled(nn.Layer):
    """A map at twice its size, asked for in a form that ONNX has."""

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """[N, C, H, W] -> [N, C, 2 H, 2 W]."""
        height, width = x.shape[2:]
        return _resize(x, [2 * height, 2 * width])


def with_coordinates(x: paddle.Tensor) -> paddle.Tensor:
    """[N, C, H, W] -> [N, C + 2, H, W], with x and y from -1 to 1, both ends included, behind."""
    places = [_positions(x, axis).astype(x.dtype) for axis in (3, 2)]
    return paddle.concat([x, *places], 1)


def _positions(x: paddle.Tensor, axis: int) -> paddle.Tensor:
    """[N, 1, H, W] float32, from -1 to 1 along an axis, in operators that ONNX has for any size."""
    ones = paddle.ones_like(x[:, :1], "float32")
    last = (ones.sum(axis, keepdim=True) - 1).clip(min=1)
    return 2 * (paddle.cumsum(ones, axis) - 1) / last - 1


def _tower(in_channels: int, channels: int, count: int) -> nn.Sequential:
    widths = [in_channels] + [channels] * count
    return nn.Sequential(*(GroupNormUnit(a, b, 3) for a, b in itertools.pairwise(widths)))


def _upsampling(in_channels: int, channels: int, level: int) -> nn.Sequential:
    """Convolutions that each double the map's size; one that keeps it at level 0."""
    units = nn.Sequential()
    for number in range(max(level, 1)):
        unit = GroupNormUnit(in_channels if number == 0 else channels, channels, 3)
        units.add_sublayer(f"conv{number}", unit)
        if level > 0:
            units.add_sublayer(f"upsample{number}", Doubled())
    return units


def _predictor(in_channels: int, out_channels: int, bias: float) -> nn.Conv2D:
    return nn.Conv2D(
        in_channels,
        out_channels,
        3,
        padding=1,
        weight_attr=paddle.ParamAttr(initializer=nn.initializer.Normal(0.0, 0.01)),
        bias_attr=paddle.ParamAttr(initializer=nn.initializer.Constant(bias)),
    )


def _resize(x: paddle.Tensor, size: Sequence[int]) -> paddle.Tensor:
    return F.interpolate(x, size, mode="bilinear", align_corners=False)
