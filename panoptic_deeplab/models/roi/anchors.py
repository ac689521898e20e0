"""Anchors: the boxes that a region proposal network starts from."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import paddle

RATIOS = (0.5, 1.0, 2.0)
"""Height over width."""


def base_anchors(stride: int, scale: float, legacy: bool = True) -> np.ndarray:
    """[3, 4] float32: the anchors of the first location of a level.

    Args:
        stride: pixels between two locations.
        scale: side of the square anchor in strides.
        legacy: as the released code rounds them, about the middle of the location's pixels; else
            exact, about the middle of the location.
    """
    side = stride * scale
    widths = np.array([side / math.sqrt(ratio) for ratio in RATIOS])
    heights = np.array([side * math.sqrt(ratio) for ratio in RATIOS])
    boxes = stride / 2 + np.stack([-widths, -heights, widths, heights], 1) / 2
    if legacy:
        last_pixel = np.array([0, 0, 1, 1])
        boxes = np.round(boxes - last_pixel) + last_pixel
    return boxes.astype(np.float32)


def grid_anchors(
    size: Sequence[int], stride: int, scale: float, legacy: bool = True
) -> paddle.Tensor:
    """[h * w * 3, 4]: all anchors of the location (0, 0), then of (0, 1), ...

    Args:
        size: (h, w) of the level.
        stride: pixels between two locations.
        scale: side of the square anchor in strides.
        legacy: see `base_anchors`.
    """
    height, width = size
    x = paddle.arange(width, dtype="float32").reshape([1, -1]).expand([height, width]) * stride
    y = paddle.arange(height, dtype="float32").reshape([-1, 1]).expand([height, width]) * stride
    shifts = paddle.stack([x, y, x, y], -1).reshape([-1, 1, 4])
    anchors = paddle.to_tensor(base_anchors(stride, scale, legacy))
    return (shifts + anchors).reshape([-1, 4])


def inside(anchors: paddle.Tensor, bounds: paddle.Tensor) -> paddle.Tensor:
    """[A] bool: whether anchors [A, 4] lie within the box `bounds` [4]."""
    starts, ends = anchors[:, :2] >= bounds[:2], anchors[:, 2:] <= bounds[2:]
    return (starts & ends).all(-1)
