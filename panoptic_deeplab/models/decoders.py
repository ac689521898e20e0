"""Decoders of Panoptic-DeepLab: ASPP on the deepest feature, then finer features joined in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import paddle
import paddle.nn.functional as F
from paddle import nn
from paddleseg.models.layers import ConvBNReLU

from panoptic_deeplab.errors import UsageError
from panoptic_deeplab.models.layers import SeparableConvBNReLU, two_conv_bn_relu
from panoptic_deeplab.resample import resize_map


@dataclass(frozen=True)
class DecoderForm:
    """In what the published decoders differ, beside channels and dilations.

    Attributes:
        align_corners: of every resize.
        drop_rate: dropout at the end of the ASPP.
        pooling: what follows the pooling of the ASPP: a 1x1 convolution with batch `norm`, with a
            `bias`, or neither (`plain`), and ReLU.
        pooling_window: (height, width) of the pooling in feature-map locations, which moves by one;
            None pools the whole map.
        separable_aspp: whether the dilated convolutions are separable.
        separable: 5x5 separable convolutions after every join, not two plain 3x3 ones.
        finer_first: the finer feature comes first where two are joined.
    """

    align_corners: bool
    drop_rate: float = 0.5
    pooling: Literal["norm", "bias", "plain"] = "norm"
    pooling_window: tuple[int, int] | None = None
    separable_aspp: bool = False
    separable: bool = True
    finer_first: bool = False


class ASPP(nn.Layer):
    """Atrous spatial pyramid pooling with image pooling (https://arxiv.org/abs/1706.05587).

    Args:
        ratios: dilation of each branch; 1 is a 1x1 convolution.
        in_channels: of the feature.
        out_channels: of every branch and of the result.
        form: its other settings.
    """

    def __init__(
        self,
        ratios: Sequence[int],
        in_channels: int,
        out_channels: int,
        form: DecoderForm,
    ) -> None:
        super().__init__()
        self.align_corners = form.align_corners
        self.aspp_blocks = nn.LayerList(
            _dilated(in_channels, out_channels, ratio, form.separable_aspp) for ratio in ratios
        )
        self.global_avg_pool = nn.Sequential(
            WindowPooling(form.pooling_window),
            _after_pooling(in_channels, out_channels, form.pooling),
        )
        branches = len(ratios) + 1
        self.conv_bn_relu = ConvBNReLU(out_channels * branches, out_channels, 1, bias_attr=False)
        self.dropout = nn.Dropout(form.drop_rate)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """[N, in_channels, h, w] -> [N, out_channels, h, w]."""
        branches = [block(x) for block in self.aspp_blocks]
        branches.append(resize_map(self.global_avg_pool(x), x.shape[-2:], self.align_corners))
        return self.dropout(self.conv_bn_relu(paddle.concat(branches, axis=1)))


class WindowPooling(nn.Layer):
    """The mean of each window of a map, or of the whole map.

    Args:
        window: (height, width); None is the whole map, and so is a window that is not smaller.
    """

    def __init__(self, window: tuple[int, int] | None) -> None:
        super().__init__()
        self.window = window

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """[N, C, h, w] -> [N, C, h', w'], by one larger than what the window leaves of a side."""
        if self.window is None:
            return F.adaptive_avg_pool2d(x, (1, 1))
        if not paddle.in_dynamic_mode():  # in a program sizes are numbers only when it runs
            return _moving_mean(_moving_mean(x, self.window[0], 2), self.window[1], 3)
        window = [min(sides) for sides in zip(self.window, x.shape[2:])]
        return F.avg_pool2d(x, window, stride=1)


def _moving_mean(x: paddle.Tensor, length: int, axis: int) -> paddle.Tensor:
    """The mean of each `length` neighbors along an axis of any size, or of all if it is shorter."""
    size = paddle.shape(x)[axis : axis + 1]
    length = paddle.clip(size, max=length)
    nothing = 0 * paddle.slice(x, [axis], [0], [1])
    sums = paddle.concat([nothing, paddle.cumsum(x, axis)], axis)
    upper = paddle.slice(sums, [axis], length, size + 1)
    lower = paddle.slice(sums, [axis], size - size, size + 1 - length)
    return (upper - lower) / length.astype(x.dtype)


def _dilated(in_channels: int, out_channels: int, ratio: int, separable: bool) -> nn.Layer:
    """One branch of an ASPP."""
    if separable and ratio > 1:
        return SeparableConvBNReLU(in_channels, out_channels, 3, ratio)
    return ConvBNReLU(
        in_channels,
        out_channels,
        kernel_size=1 if ratio == 1 else 3,
        dilation=ratio,
        padding=0 if ratio == 1 else ratio,
        bias_attr=False,
    )


def _after_pooling(in_channels: int, out_channels: int, kind: str) -> nn.Layer:
    if kind == "norm":
        return ConvBNReLU(in_channels, out_channels, kernel_size=1, bias_attr=False)
    bias = None if kind == "bias" else False
    return nn.Sequential(nn.Conv2D(in_channels, out_channels, 1, bias_attr=bias), nn.ReLU())


class PanopticDecoder(nn.Layer):
    """ASPP, then for each finer feature: project, upsample to it, join, convolve.

    Args:
        backbone_indices: the joined features from coarse to fine, then the ASPP's.
        backbone_channels: their channels, in the same order.
        aspp_ratios: as `ratios` of `ASPP`.
        aspp_out_channels: as `out_channels` of `ASPP`.
        decoder_channels: after every join.
        projected_channels: of the joined features, after projection.
        form: its other settings.
    """

    def __init__(
        self,
        backbone_indices: Sequence[int],
        backbone_channels: Sequence[int],
        aspp_ratios: Sequence[int],
        aspp_out_channels: int,
        decoder_channels: int,
        projected_channels: Sequence[int],
        form: DecoderForm,
    ) -> None:
        super().__init__()
        if len(projected_channels) != len(backbone_indices) - 1:
            raise UsageError(
                "low_level_channels_projects needs one entry for each of backbone_indices but the "
                f"last; got {list(projected_channels)} for {list(backbone_indices)}"
            )
        *self.joined_indices, self.deepest_index = backbone_indices
        self.align_corners, self.finer_first = form.align_corners, form.finer_first
        self.aspp = ASPP(aspp_ratios, backbone_channels[-1], aspp_out_channels, form)
        self.project = nn.LayerList(
            ConvBNReLU(channels, projected, 1, bias_attr=False)
            for channels, projected in zip(backbone_channels[:-1], projected_channels, strict=True)
        )
        below = [aspp_out_channels] + [decoder_channels] * (len(projected_channels) - 1)
        self.fuse = nn.LayerList(
            SeparableConvBNReLU(channels + projected, decoder_channels, 5)
            if form.separable
            else two_conv_bn_relu(channels + projected, decoder_channels, decoder_channels)
            for channels, projected in zip(below, projected_channels, strict=True)
        )

    def forward(self, features: Sequence[paddle.Tensor]) -> paddle.Tensor:
        """The backbone's features -> [N, decoder_channels, h, w] at the finest joined one."""
        x = self.aspp(features[self.deepest_index])
        for index, project, fuse in zip(self.joined_indices, self.project, self.fuse):
            finer = project(features[index])
            x = resize_map(x, finer.shape[-2:], self.align_corners)
            x = fuse(paddle.concat([finer, x] if self.finer_first else [x, finer], axis=1))
        return x
