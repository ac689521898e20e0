"""The only upsampling of network outputs."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import paddle
import paddle.nn.functional as F


def resize_outputs(
    outputs: dict[str, paddle.Tensor], size: tuple[int, int], *, align_corners: bool = True
) -> dict[str, paddle.Tensor]:
    """Resize all maps of `outputs` to `size` (height, width), bilinear.

    Args:
        outputs: named [N, C, h, w] maps. Offsets are in pixels of the network's input, so that
            sampling them at that size needs no rescaling.
        size: (height, width), usually the network's input size.
        align_corners: as the model's own upsampling, True for Panoptic-DeepLab's odd sizes.
    """
    return {name: resize_map(value, size, align_corners) for name, value in outputs.items()}


def resize_map(
    value: paddle.Tensor, size: tuple[int, int], align_corners: bool = True
) -> paddle.Tensor:
    """Resize one [N, C, h, w] map to `size`; a map of that size is returned as it is."""
    known = paddle.in_dynamic_mode()  # in a program sizes are numbers only when it runs
    if known and tuple(value.shape[-2:]) == tuple(size):
        return value
    return F.interpolate(value, size, mode="bilinear", align_corners=align_corners)


class Upsampled:
    """`resize_map(value, size)` evaluated at some pixels only, without making the whole map.

    Args:
        value: [N, C, h, w].
        size: (height, width).
        align_corners: as the model's own upsampling.
    """

    def __init__(
        self, value: paddle.Tensor, size: tuple[int, int], align_corners: bool = True
    ) -> None:
        count, channels, self.height, self.width = value.shape
        self.size = tuple(size)
        self.locations = value.transpose([0, 2, 3, 1]).reshape([-1, channels])  # [N * h * w, C]
        device = paddle.device.get_device()
        self.rows = _neighbors(self.height, size[0], align_corners, device)
        self.columns = _neighbors(self.width, size[1], align_corners, device)
        self.count = count * size[0] * size[1]

    def at(self, pixels: paddle.Tensor) -> paddle.Tensor:
        """[K, C] at the flat indices `pixels` [K] into [N, height, width]."""
        if self.size == (self.height, self.width):
            return self.locations.gather(pixels)
        lines, columns = pixels // self.size[1], pixels % self.size[1]
        images, rows = lines // self.size[0], lines % self.size[0]
        upper, lower, down = (of_rows.gather(rows) for of_rows in self.rows)
        left, right, across = (of_columns.gather(columns) for of_columns in self.columns)
        above, below = ((images * self.height + y) * self.width for y in (upper, lower))
        locations = [above + left, above + right, below + left, below + right]
        weights = [
            (1 - down) * (1 - across),
            (1 - down) * across,
            down * (1 - across),
            down * across,
        ]
        return _Blend.apply(self.locations, paddle.stack(locations), paddle.stack(weights))


class _Blend(paddle.autograd.PyLayer):
    """Weighted sums of rows; the backward pass needs the weights alone, so no row is kept."""

    @staticmethod
    def forward(
        context: Any, rows: paddle.Tensor, indices: paddle.Tensor, weights: paddle.Tensor
    ) -> paddle.Tensor:
        """[L, C] rows, [M, K] indices and weights -> [K, C]."""
        context.save_for_backward(rows, indices, weights)
        blend = paddle.zeros([indices.shape[1], rows.shape[1]], rows.dtype)
        for index, weight in zip(indices, weights, strict=True):
            blend += rows.gather(index) * weight.unsqueeze(1)
        return blend

    @staticmethod
    def backward(context: Any, gradient: paddle.Tensor) -> tuple[Any, ...]:
        """The gradient of the rows."""
        rows, indices, weights = context.saved_tensor()
        total = paddle.zeros_like(rows)
        for index, weight in zip(indices, weights, strict=True):
            total = paddle.scatter_nd_add(total, index.unsqueeze(1), gradient * weight.unsqueeze(1))
        return total, None, None


@lru_cache(maxsize=64)
def _neighbors(
    length: int, target: int, align_corners: bool, device: str
) -> tuple[paddle.Tensor, paddle.Tensor, paddle.Tensor]:
    """For each of `target` pixels: the location before, the one after, and the weight of that.

    Kept by size and device: a copy to a GPU waits for what it has still to compute.
    """
    pixels = np.arange(target)
    if align_corners:
        positions = pixels * ((length - 1) / max(target - 1, 1))
    else:
        ratio = length / target if target > 1 else 0  # as Paddle has it
        positions = np.maximum((pixels + 0.5) * ratio - 0.5, 0)
    before = np.minimum(positions.astype(np.int64), length - 1)
    after = np.minimum(before + 1, length - 1)
    weight = (positions - before).astype(np.float32)
    return paddle.to_tensor(before), paddle.to_tensor(after), paddle.to_tensor(weight)
