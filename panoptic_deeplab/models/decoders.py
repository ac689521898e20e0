"""Decoders of Panoptic-DeepLab: ASPP on the deepest feature, then finer features joined in."""

from __future__ import annotations

from collections.abc import Sequence

import paddle
from paddle import nn
from paddleseg.models.layers import ConvBNReLU

from panoptic_deeplab.errors import UsageError
from panoptic_deeplab.models.layers import SeparableConvBNReLU
from panoptic_deeplab.resample import resize_map


class ASPP(nn.Layer):
    """Atrous spatial pyramid pooling with image pooling (https://arxiv.org/abs/1706.05587).

    Args:
        ratios: dilation of each branch; 1 is a 1x1 convolution.
        in_channels: of the feature.
        out_channels: of every branch and of the result.
        align_corners: of the resize of the pooled branch.
        drop_rate: dropout at the end.
    """

    def __init__(
        self,
        ratios: Sequence[int],
        in_channels: int,
        out_channels: int,
        align_corners: bool,
        drop_rate: float = 0.5,
    ) -> None:
        super().__init__()
        self.align_corners = align_corners
        self.aspp_blocks = nn.LayerList(
            ConvBNReLU(
                in_channels,
                out_channels,
                kernel_size=1 if ratio == 1 else 3,
                dilation=ratio,
                padding=0 if ratio == 1 else ratio,
                bias_attr=False,
            )
            for ratio in ratios
        )
        self.global_avg_pool = nn.Sequential(
            nn.AdaptiveAvgPool2D(output_size=(1, 1)),
            ConvBNReLU(in_channels, out_channels, kernel_size=1, bias_attr=False),
        )
        branches = len(ratios) + 1
        self.conv_bn_relu = ConvBNReLU(out_channels * branches, out_channels, 1, bias_attr=False)
        self.dropout = nn.Dropout(drop_rate)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """[N, in_channels, h, w] -> [N, out_channels, h, w]."""
        branches = [block(x) for block in self.aspp_blocks]
        branches.append(resize_map(self.global_avg_pool(x), x.shape[-2:], self.align_corners))
        return self.dropout(self.conv_bn_relu(paddle.concat(branches, axis=1)))


class PanopticDecoder(nn.Layer):
    """ASPP, then for each finer feature: project, upsample to it, join, 5x5 separable convolution.

    Args:
        backbone_indices: the joined features from coarse to fine, then the ASPP's.
        backbone_channels: their channels, in the same order.
        aspp_ratios: as `ratios` of `ASPP`.
        aspp_out_channels: as `out_channels` of `ASPP`.
        decoder_channels: after every join.
        projected_channels: of the joined features, after projection.
        align_corners: of every resize.
    """

    def __init__(
        self,
        backbone_indices: Sequence[int],
        backbone_channels: Sequence[int],
        aspp_ratios: Sequence[int],
        aspp_out_channels: int,
        decoder_channels: int,
        projected_channels: Sequence[int],
        align_corners: bool,
    ) -> None:
        super().__init__()
        if len(projected_channels) != len(backbone_indices) - 1:
            raise UsageError(
                "low_level_channels_projects needs one entry for each of backbone_indices but the "
                f"last; got {list(projected_channels)} for {list(backbone_indices)}"
            )
        *self.joined_indices, self.deepest_index = backbone_indices
        self.align_corners = align_corners
        self.aspp = ASPP(aspp_ratios, backbone_channels[-1], aspp_out_channels, align_corners)
        self.project = nn.LayerList(
            ConvBNReLU(channels, projected, 1, bias_attr=False)
            for channels, projected in zip(backbone_channels[:-1], projected_channels, strict=True)
        )
        below = [aspp_out_channels] + [decoder_channels] * (len(projected_channels) - 1)
        self.fuse = nn.LayerList(
            SeparableConvBNReLU(channels + projected, decoder_channels, 5)
            for channels, projected in zip(below, projected_channels, strict=True)
        )

    def forward(self, features: Sequence[paddle.Tensor]) -> paddle.Tensor:
        """The backbone's features -> [N, decoder_channels, h, w] at the finest joined one."""
        x = self.aspp(features[self.deepest_index])
        for index, project, fuse in zip(self.joined_indices, self.project, self.fuse):
            finer = project(features[index])
            x = resize_map(x, finer.shape[-2:], self.align_corners)
            x = fuse(paddle.concat([x, finer], axis=1))
        return x
