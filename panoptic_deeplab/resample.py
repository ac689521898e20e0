"""The only upsampling of network outputs."""

from __future__ import annotations

import paddle
import paddle.nn.functional as F


def resize_outputs(
    outputs: dict[str, paddle.Tensor], size: tuple[int, int], *, align_corners: bool = True
) -> dict[str, paddle.Tensor]:
    """All maps of `outputs` at `size` (height, width), bilinear.

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
    """One [N, C, h, w] map at `size`; itself where it has that size already."""
    known = paddle.in_dynamic_mode()  # in a program for any size they are numbers only as it runs
    if known and tuple(value.shape[-2:]) == tuple(size):
        return value
    return F.interpolate(value, size, mode="bilinear", align_corners=align_corners)
