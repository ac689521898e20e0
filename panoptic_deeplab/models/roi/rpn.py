"""The region proposal network (Ren et al., NeurIPS 2015, https://arxiv.org/abs/1506.01497)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import paddle
import paddle.nn.functional as F
from paddle import nn

from panoptic_deeplab.models.roi.anchors import RATIOS, grid_anchors
from panoptic_deeplab.models.roi.precision import in_single_precision

Maps = tuple[paddle.Tensor, paddle.Tensor]
"""Logits [N, 3, h, w] and offsets [N, 12, h, w] of a level."""


class Level(NamedTuple):
    """Predictions for the anchors of one level.

    Attributes:
        anchors: [A, 4].
        logits: [N, A], whether there is an object.
        offsets: [N, A, 4] from the anchors.
    """

    anchors: paddle.Tensor
    logits: paddle.Tensor
    offsets: paddle.Tensor


class RPNHead(nn.Layer):
    """One convolution and two 1x1 convolutions, shared by the levels.

    Args:
        channels: of each level.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.rpn_conv = _convolution(channels, channels, 3)
        self.rpn_cls = _convolution(channels, len(RATIOS), 1)
        self.rpn_reg = _convolution(channels, 4 * len(RATIOS), 1)

    def forward(self, levels: Sequence[paddle.Tensor]) -> list[Maps]:
        """Maps [N, channels, h, w] -> of each level logits [N, 3, h, w], offsets [N, 12, h, w]."""
        return [self._maps(features) for features in levels]

    def _maps(self, features: paddle.Tensor) -> Maps:
        hidden = F.relu(self.rpn_conv(features))
        return self.rpn_cls(hidden), self.rpn_reg(hidden)


@in_single_precision
def of_anchors(maps: Maps, stride: int, base: np.ndarray) -> Level:
    """The predictions of a level in the order of its anchors, in float32.

    Args:
        maps: what `RPNHead` returns of the level.
        stride: of the level.
        base: [3, 4] float32, the anchors of the first location.
    """
    logits, offsets = (values.astype("float32").transpose([0, 2, 3, 1]) for values in maps)
    return Level(
        grid_anchors(logits.shape[1:3], stride, base),
        logits.flatten(1),
        offsets.reshape([len(offsets), -1, 4]),
    )


def _convolution(in_channels: int, out_channels: int, kernel_size: int) -> nn.Conv2D:
    normal = nn.initializer.Normal(0.0, 0.01)
    return nn.Conv2D(
        in_channels,
        out_channels,
        kernel_size,
        padding=kernel_size // 2,
        weight_attr=paddle.ParamAttr(initializer=normal),
    )
