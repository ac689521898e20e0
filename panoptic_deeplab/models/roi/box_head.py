"""The class and the exact box of a region."""

from __future__ import annotations

import paddle
import paddle.nn.functional as F
from paddle import nn

from panoptic_deeplab.models.roi.precision import in_single_precision


class BoxHead(nn.Layer):
    """Two hidden layers, then a class for each region and a box for each class.

    Args:
        num_things: classes without background.
        in_channels: of the regions.
        channels: of the hidden layers.
        background_last: among the classes of the weights, where it has no box then. False: it is
            the first and has a box, which nothing learns from or reads.
    """

    region_size = 7
    """Bins on a side of a region."""

    output_names = ("class_logits", "box_offsets")

    def __init__(
        self, num_things: int, in_channels: int, channels: int, background_last: bool = False
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.background_last = background_last
        self.num_boxes = num_things if background_last else num_things + 1
        self.fc_cls = nn.Linear(channels, num_things + 1, _normal(0.01))
        self.fc_reg = nn.Linear(channels, 4 * self.num_boxes, _normal(0.001))
        self.shared_fcs = nn.LayerList(
            [nn.Linear(in_channels * self.region_size**2, channels), nn.Linear(channels, channels)]
        )

    def forward(self, regions: paddle.Tensor) -> tuple[paddle.Tensor, paddle.Tensor]:
        """[R, in_channels, 7, 7] -> class logits [R, T + 1], offsets [R, T + 1, 4], in float32."""
        x = regions.flatten(1)
        for hidden in self.shared_fcs:
            x = F.relu(hidden(x))
        logits, offsets = _in_float32(self.fc_cls(x), self.fc_reg(x))
        offsets = offsets.reshape([0, self.num_boxes, 4])
        if self.background_last:
            return logits.roll(1, 1), F.pad(offsets, [0, 0, 1, 0, 0, 0])
        return logits, offsets

    @property
    def inputs(self) -> dict[str, tuple[list[int | None], str]]:
        """Shape and type of what `forward` takes, by name; None for any number of regions."""
        side = self.region_size
        return {"regions": ([None, self.in_channels, side, side], "float32")}


@in_single_precision
def _in_float32(
    logits: paddle.Tensor, offsets: paddle.Tensor
) -> tuple[paddle.Tensor, paddle.Tensor]:
    return logits.astype("float32"), offsets.astype("float32")


def _normal(deviation: float) -> paddle.ParamAttr:
    return paddle.ParamAttr(initializer=nn.initializer.Normal(0.0, deviation))
