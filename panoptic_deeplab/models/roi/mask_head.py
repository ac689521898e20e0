"""The mask of the instance in a region."""

from __future__ import annotations

from collections.abc import Callable

import paddle
import paddle.nn.functional as F
from paddle import nn

from panoptic_deeplab.models.roi.precision import in_single_precision


class MaskHead(nn.Layer):
    """Four convolutions, a transposed one, and a mask for each class.

    Args:
        num_things: classes without background.
        channels: of the regions and throughout.
        convolution: (in_channels, out_channels) -> one of the four, with its activation.
        background: it has a mask too, the first, which nothing learns from or reads.
    """

    region_size, mask_size = 14, 28
    """Bins on a side of a region, pixels on a side of its mask."""

    output_names = ("mask_logits",)

    uneven_batches = True
    """It learns from the positive regions alone, of which each process has another number: its
    batch norms stay with their process, since Paddle's synchronized ones need equal numbers."""

    def __init__(
        self,
        num_things: int,
        channels: int,
        convolution: Callable[[int, int], nn.Layer],
        background: bool = True,
    ) -> None:
        super().__init__()
        self.channels = channels
        self.first_class = 0 if background else 1
        self.convs = nn.Sequential(*(convolution(channels, channels) for _ in range(4)))
        kaiming = paddle.ParamAttr(initializer=nn.initializer.KaimingNormal())
        self.upsample = nn.Conv2DTranspose(channels, channels, 2, 2, weight_attr=kaiming)
        self.conv_logits = nn.Conv2D(channels, num_things + 1 - self.first_class, 1)

    def forward(self, regions: paddle.Tensor, labels: paddle.Tensor) -> paddle.Tensor:
        """[R, channels, 14, 14] and each region's class [R] -> logits [R, 28, 28] in float32."""
        masks = (labels - self.first_class).clip(min=0)  # a filler may be background
        return _chosen(self.conv_logits(F.relu(self.upsample(self.convs(regions)))), masks)

    @property
    def inputs(self) -> dict[str, tuple[list[int | None], str]]:
        """Shape and type of what `forward` takes, by name; None for any number of regions."""
        side = self.region_size
        return {
            "regions": ([None, self.channels, side, side], "float32"),
            "labels": ([None], "int64"),
        }


@in_single_precision
def _chosen(logits: paddle.Tensor, masks: paddle.Tensor) -> paddle.Tensor:
    """[R, C, m, m] logits and an index [R] each -> [R, m, m]."""
    own = F.one_hot(masks, logits.shape[1])
    return (logits.astype("float32") * own[:, :, None, None]).sum(1)
