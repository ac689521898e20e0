"""A Panoptic-DeepLab of three million parameters that learns on two CPU cores in minutes."""

from __future__ import annotations

from collections.abc import Sequence

import paddle
import paddle.nn.functional as F
from paddle import nn

from panoptic_deeplab.errors import UsageError
from panoptic_deeplab.models.layers import ReluOfSum, refuse_impossible
from panoptic_deeplab.registry import MODELS

OUTPUT_STRIDE = 2


@MODELS.add_component
class PanopticDeepLabLite(nn.Layer):
    """The outputs and losses of Panoptic-DeepLab over a narrow residual network.

    It differs from the paper where a CPU asks for it: dense 3x3 convolutions instead of
    depthwise 5x5 (2.4 times the time of a dense 3x3 in Paddle), capacity at strides 8 to 32,
    upsampling by 1x1 convolution and pixel shuffle, predictions at stride 2 so that poles and
    lights survive, and instance norm: with one or two images a step the running statistics of
    batch norm fit no image (measured: PQ 0.41 with them, 0.57 with an image's own).

    Args:
        num_classes: semantic classes.
        channels: of the encoder at strides 2, 4, 8, 16 and 32.
        blocks: residual blocks at strides 4, 8, 16 and 32.
        semantic_channels: of the semantic decoder at strides 16, 8, 4 and 2.
        instance_channels: of the instance decoder at strides 16, 8 and 4.
    """

    output_names = ("semantic", "center", "offset")

    def __init__(
        self,
        num_classes: int,
        channels: Sequence[int] = (16, 32, 64, 128, 192),
        blocks: Sequence[int] = (1, 2, 3, 2),
        semantic_channels: Sequence[int] = (64, 48, 40, 16),
        instance_channels: Sequence[int] = (64, 48, 32),
    ) -> None:
        super().__init__()
        lengths = tuple(map(len, (channels, blocks, semantic_channels, instance_channels)))
        if lengths != (5, 4, 4, 3):
            raise UsageError(
                "PanopticDeepLabLite needs 5 channels, 4 blocks, 4 semantic_channels and 3 "
                f"instance_channels; got {', '.join(map(str, lengths))}"
            )
        refuse_impossible(
            channels=channels,
            semantic_channels=semantic_channels,
            instance_channels=instance_channels,
        )
        refuse_impossible(0, blocks=blocks)
        self.encoder = Encoder(channels, blocks)
        self.semantic_decoder = ShuffleDecoder(channels, semantic_channels)
        self.semantic_head = nn.Conv2D(semantic_channels[-1], num_classes, 1)
        self.instance_decoder = ShuffleDecoder(channels[1:], instance_channels)
        self.center_head = ShuffleHead(instance_channels[-1], 1)
        self.offset_head = ShuffleHead(instance_channels[-1], 2)

    def forward(
        self, images: paddle.Tensor, targets: dict[str, paddle.Tensor] | None = None
    ) -> dict[str, paddle.Tensor]:
        """[N, 3, H, W] -> `semantic`, `center` and `offset` at stride 2, as `PanopticDeepLab`."""
        size = [(side + 1) // OUTPUT_STRIDE for side in images.shape[-2:]]
        features = self.encoder(images)
        instances = self._instances(features[1:], size)
        return {"semantic": self.semantic_head(self.semantic_decoder(features))} | instances

    def _instances(
        self, features: list[paddle.Tensor], size: Sequence[int]
    ) -> dict[str, paddle.Tensor]:
        """`center` and `offset` of the features from stride 4 on."""
        decoded = self.instance_decoder(features)
        return {
            "center": self.center_head(decoded, size),
            "offset": self.offset_head(decoded, size) * OFFSET_UNIT,
        }


OFFSET_UNIT = 32
"""Input pixels per unit of the offset head; about the size of an instance."""


class Encoder(nn.Layer):
    """A residual network whose features are at strides 2, 4, 8, 16 and 32."""

    def __init__(self, channels: Sequence[int], blocks: Sequence[int]) -> None:
        super().__init__()
        self.stem = conv_norm_relu(3, channels[0], 3, stride=2)
        self.stages = nn.LayerList(
            nn.Sequential(
                conv_norm_relu(before, after, 3, stride=2),
                *(ResidualBlock(after, dilation=1 + i % 2) for i in range(count)),
            )
            for before, after, count in zip(channels[:-1], channels[1:], blocks, strict=True)
        )

    def forward(self, images: paddle.Tensor) -> list[paddle.Tensor]:
        """[N, 3, H, W] -> the features, fine to coarse."""
        features = [self.stem(images)]
        for stage in self.stages:
            features.append(stage(features[-1]))
        return features


class ResidualBlock(nn.Layer):
    """Two 3x3 convolutions around which the input passes unchanged."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.first = conv_norm_relu(channels, channels, 3, dilation=dilation)
        self.second = conv_norm(channels, channels, 3)
        self.join = ReluOfSum()

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """[N, C, h, w] -> [N, C, h, w]."""
        return self.join(x, self.second(self.first(x)))


class ShuffleDecoder(nn.Layer):
    """From stride 32 upwards: 1x1 and pixel shuffle, plus a 1x1 of the skip, then a 3x3."""

    def __init__(self, feature_channels: Sequence[int], channels: Sequence[int]) -> None:
        super().__init__()
        skips = list(reversed(feature_channels[:-1]))
        below = [feature_channels[-1], *channels[:-1]]
        deepest = feature_channels[-1]
        self.context = nn.Sequential(nn.AdaptiveAvgPool2D(1), nn.Conv2D(deepest, deepest, 1))
        self.rise = nn.LayerList(
            conv_norm(source, 4 * width, 1) for source, width in zip(below, channels, strict=True)
        )
        self.skip = nn.LayerList(
            conv_norm(skip, width, 1) for skip, width in zip(skips, channels, strict=True)
        )
        self.join = ReluOfSum()
        self.smooth = nn.LayerList(conv_norm_relu(width, width, 3) for width in channels)

    def forward(self, features: list[paddle.Tensor]) -> paddle.Tensor:
        """Features, fine to coarse -> [N, channels[-1], h, w] at the stride of the finest.

        Large images need the memory of each map as soon as it is used: `features` is empty
        afterwards, and each step has the name of the one before.
        """
        x = features.pop()
        x = x + self.context(x)
        for rise, skip, smooth in zip(self.rise, self.skip, self.smooth):
            features[-1] = skip(features[-1])
            x = rise(x)
            x = shuffle_up(x, features[-1].shape[-2:])
            x = self.join(x, features.pop())
            x = smooth(x)
        return x


class ShuffleHead(nn.Layer):
    """A 1x1 convolution at stride 4 whose channels become pixels at stride 2."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        # small weights: otherwise the first center losses outweigh all others
        init = nn.initializer.Normal(std=0.01)
        self.predict = nn.Conv2D(in_channels, 4 * out_channels, 1, weight_attr=init)

    def forward(self, x: paddle.Tensor, size: Sequence[int]) -> paddle.Tensor:
        """[N, in_channels, h, w] -> [N, out_channels, *size], size at most (2 h, 2 w)."""
        return shuffle_up(self.predict(x), size)


def shuffle_up(x: paddle.Tensor, size: Sequence[int]) -> paddle.Tensor:
    """[N, 4 C, h, w] -> [N, C, 2 h, 2 w], cut to `size`."""
    return F.pixel_shuffle(x, 2)[:, :, : size[0], : size[1]]


def conv_norm(
    in_channels: int, out_channels: int, kernel: int, stride: int = 1, dilation: int = 1
) -> nn.Sequential:
    """Convolution and instance norm, the size kept or divided by the stride."""
    padding = dilation * (kernel // 2)
    return nn.Sequential(
        nn.Conv2D(
            in_channels,
            out_channels,
            kernel,
            stride=stride,
            padding=padding,
            dilation=dilation,
            bias_attr=False,
        ),
        nn.InstanceNorm2D(out_channels),
    )


def conv_norm_relu(
    in_channels: int, out_channels: int, kernel: int, stride: int = 1, dilation: int = 1
) -> nn.Sequential:
    """Convolution, instance norm and ReLU."""
    return nn.Sequential(
        *conv_norm(in_channels, out_channels, kernel, stride, dilation).children(), nn.ReLU()
    )
