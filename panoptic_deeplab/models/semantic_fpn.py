"""Panoptic FPN's semantic head (https://arxiv.org/abs/1901.02446, section 3.1, figure 3)."""

from __future__ import annotations

from collections.abc import Sequence

import paddle
from paddle import nn

from panoptic_deeplab.resample import resize_map

NORM_GROUPS = 32


class SemanticFPNHead(nn.Layer):
    """Each level is convolved and enlarged until it has the finest size; then they are added.

    Args:
        num_outputs: channels of the logits.
        in_channels: of each level.
        channels: of each branch.
        levels: number of levels, of which each is half the size of the one before.
    """

    def __init__(
        self, num_outputs: int, in_channels: int = 256, channels: int = 128, levels: int = 4
    ) -> None:
        super().__init__()
        self.conv_upsample_layers = nn.LayerList(
            Branch(in_channels, channels, max(i, 1)) for i in range(levels)
        )
        normal = paddle.ParamAttr(initializer=nn.initializer.Normal(0.0, 0.01))
        self.conv_logits = nn.Conv2D(channels, num_outputs, 1, weight_attr=normal)

    def forward(self, levels: Sequence[paddle.Tensor]) -> paddle.Tensor:
        """Maps fine to coarse -> logits [N, num_outputs, h, w] at the size of the finest."""
        sizes = [level.shape[2:] for level in levels]
        total = self.conv_upsample_layers[0](levels[0], sizes[:1])
        for i in range(1, len(levels)):
            total = total + self.conv_upsample_layers[i](levels[i], sizes[:i])
        return self.conv_logits(total)


class Branch(nn.Layer):
    """Convolutions with group norm and ReLU, each of which goes on to the next finer size."""

    def __init__(self, in_channels: int, channels: int, count: int) -> None:
        super().__init__()
        self.conv = nn.LayerList(
            _unit(channels if i else in_channels, channels) for i in range(count)
        )

    def forward(self, x: paddle.Tensor, sizes: Sequence[Sequence[int]]) -> paddle.Tensor:
        """[N, in_channels, h, w] -> [N, channels, *sizes[0]].

        Args:
            x: one level.
            sizes: (height, width) after each convolution, the last first.
        """
        for unit, size in zip(self.conv, reversed(sizes)):
            x = resize_map(unit(x), size, align_corners=False)
        return x


def _unit(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(
        ("conv", nn.Conv2D(in_channels, out_channels, 3, padding=1, bias_attr=False)),
        ("gn", nn.GroupNorm(NORM_GROUPS, out_channels)),
        ("activate", nn.ReLU()),
    )
