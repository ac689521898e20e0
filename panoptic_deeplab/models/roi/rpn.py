"""The region proposal network (Ren et al., NeurIPS 2015, https://arxiv.org/abs/1506.01497)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import paddle
import paddle.nn.functional as F
from paddle import nn

from panoptic_deeplab.models.roi.anchors import (
    RATIOS,
    BaseAnchors,
    grid_anchors,
    rounded_anchors,
)
from panoptic_deeplab.models.roi.precision import in_single_precision


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
        strides: of the levels.
        anchor_scale: side of the square anchor in strides.
        base_anchors: the form of the anchors.
    """

    def __init__(
        self,
        channels: int,
        strides: Sequence[int],
        anchor_scale: float = 8,
        base_anchors: BaseAnchors = rounded_anchors,
    ) -> None:
        super().__init__()
        self.strides = tuple(strides)
        self.base_anchors = [base_anchors(stride, anchor_scale) for stride in strides]
        self.rpn_conv = _convolution(channels, channels, 3)
        self.rpn_cls = _convolution(channels, len(RATIOS), 1)
        self.rpn_reg = _convolution(channels, 4 * len(RATIOS), 1)

    def forward(self, levels: Sequence[paddle.Tensor]) -> list[Level]:
        """Maps [N, channels, h, w] -> predictions for each level's 3 h w anchors, in float32."""
        return [
            self._level(features, stride, base)
            for features, stride, base in zip(levels, self.strides, self.base_anchors)
        ]

    def _level(self, features: paddle.Tensor, stride: int, base: np.ndarray) -> Level:
        hidden = F.relu(self.rpn_conv(features))
        return _of_anchors(self.rpn_cls(hidden), self.rpn_reg(hidden), stride, base)


@in_single_precision
def _of_anchors(
    logits: paddle.Tensor, offsets: paddle.Tensor, stride: int, base: np.ndarray
) -> Level:
    """Maps [N, 3, h, w] and [N, 12, h, w] in the order of the anchors."""
    logits, offsets = (
        values.astype("float32").transpose([0, 2, 3, 1]) for values in (logits, offsets)
    )
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
