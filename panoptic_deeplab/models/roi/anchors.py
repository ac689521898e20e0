"""Anchors: the boxes that a region proposal network starts from.

Three functions, (stride, scale) -> [3, 4] float32, give the anchors of a level's first location.
Locations are `stride` pixels apart; `scale` is the side of the square anchor in strides.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import paddle

RATIOS = (0.5, 1.0, 2.0)
"""Height over width."""


def corner_anchors(stride: int, scale: float) -> np.ndarray:
    """Exact anchors about the first corner of the location, as mmdetection and detectron2 have."""
    side = stride * scale
    widths = np.array([side / math.sqrt(ratio) for ratio in RATIOS])
    heights = np.array([side * math.sqrt(ratio) for ratio in RATIOS])
    return (np.stack([-widths, -heights, widths, heights], 1) / 2).astype(np.float32)


def middle_anchors(stride: int, scale: float) -> np.ndarray:
    """Exact anchors about the middle of the location."""
    return corner_anchors(stride, scale) + np.float32(stride / 2)


def rounded_anchors(stride: int, scale: float) -> np.ndarray:
    """Anchors rounded as by the released EfficientPS, about the middle of the location's pixels."""
    last_pixel = np.array([0, 0, 1, 1], np.float32)
    return np.round(middle_anchors(stride, scale) - last_pixel) + last_pixel


def grid_anchors(size: Sequence[int], stride: int, base: np.ndarray) -> paddle.Tensor:
    """[h * w * 3, 4]: all anchors of the location (0, 0), then of (0, 1), ...

    Args:
        size: (h, w) of the level.
        stride: pixels between two locations.
        base: [3, 4] float32, the anchors of the first location.
    """
    height, width = size
    x = paddle.arange(width, dtype="float32").reshape([1, -1]).expand([height, width]) * stride
    y = paddle.arange(height, dtype="float32").reshape([-1, 1]).expand([height, width]) * stride
    shifts = paddle.stack([x, y, x, y], -1).reshape([-1, 1, 4])
    return (shifts + paddle.to_tensor(base)).reshape([-1, 4])


def inside(anchors: paddle.Tensor, bounds: paddle.Tensor) -> paddle.Tensor:
    """[A] bool: whether anchors [A, 4] lie within the box `bounds` [4]."""
    starts, ends = anchors[:, :2] >= bounds[:2], anchors[:, 2:] <= bounds[2:]
    return (starts & ends).all(-1)


def touching(anchors: paddle.Tensor, bounds: paddle.Tensor) -> paddle.Tensor:
    """[A] bool: whether anchors [A, 4] have a part in the box `bounds` [4]."""
    starts, ends = anchors[:, :2] < bounds[2:], anchors[:, 2:] > bounds[:2]
    return (starts & ends).all(-1)
