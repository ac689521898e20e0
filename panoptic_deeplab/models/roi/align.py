"""Features of regions of any size (He et al., ICCV 2017, https://arxiv.org/abs/1703.06870)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import paddle
from paddle.vision import ops

from panoptic_deeplab.models.roi.boxes import area
from panoptic_deeplab.models.roi.precision import in_single_precision

FINEST_SIDE = 56
"""Regions with sides below twice as much are read from the finest level."""


class RoIAlign:
    """The second form of RoIAlign, whose samples lie where the features' centers are, or the first.

    EfficientPS was trained with the first form and two by two samples in a bin. Paddle has that
    form (`aligned=False`), but makes a region narrower than a feature-map location one location
    wide, which the released code does not. The second form does not either, and half a location
    further on its samples are those of the first.

    Args:
        strides: of the levels that regions are read from, fine to coarse; coarser levels are left
            out.
        samples: on a side of a bin; 0 for as many as the bin has locations, rounded up.
        shift: feature-map locations that samples lie further on: 0 for the second form, 1/2 for
            the first.
    """

    def __init__(self, strides: Sequence[int], samples: int = 0, shift: float = 0.0) -> None:
        self.strides = tuple(strides)
        self.samples = samples
        self.shift = shift

    @in_single_precision
    def __call__(
        self,
        levels: Sequence[paddle.Tensor],
        boxes: paddle.Tensor,
        counts: Sequence[int],
        size: int,
    ) -> paddle.Tensor:
        """[R, C, size, size] float32: the features inside each box.

        Args:
            levels: maps [N, C, h, w], fine to coarse.
            boxes: [R, 4], image after image.
            counts: how many boxes each image has.
            size: bins on a side of the result.
        """
        if boxes.shape[0] == 0:
            return paddle.zeros([0, levels[0].shape[1], size, size])
        level = level_of(boxes, len(self.strides))
        image = image_of(counts)
        order, regions = [], []
        for i, (features, stride) in enumerate(zip(levels, self.strides)):
            chosen = paddle.nonzero(level == i).flatten()
            if chosen.shape[0]:
                per_image = paddle.bincount(image.gather(chosen), minlength=len(counts))
                regions.append(
                    ops.roi_align(
                        features.astype("float32"),
                        boxes.gather(chosen) + stride * self.shift,
                        per_image.astype("int32"),
                        size,
                        1 / stride,
                        sampling_ratio=self.samples,
                        aligned=True,
                    )
                )
                order.append(chosen)
        return paddle.concat(regions).gather(paddle.concat(order).argsort())


def level_of(boxes: paddle.Tensor, levels: int) -> paddle.Tensor:
    """[R] int64: the level to read each box [R, 4] from, 0 the finest.

    With four levels the geometric mean of the sides leads to 0 below 112 pixels, 1 below 224,
    2 below 448, else 3 (Lin et al., CVPR 2017, section 4.2).
    """
    sides = area(boxes).clip(min=0).sqrt()
    level = paddle.log(sides / FINEST_SIDE + 1e-6) / math.log(2)
    return level.floor().clip(0, levels - 1).astype("int64")


def image_of(counts: Sequence[int]) -> paddle.Tensor:
    """(2, 0, 1) -> [0, 0, 2]: the image of each region."""
    images = [image for image, count in enumerate(counts) for _ in range(count)]
    return paddle.to_tensor(images, "int64")
