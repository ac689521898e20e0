"""Boxes: sizes, overlaps, their coding as offsets from other boxes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import paddle
from paddle.vision import ops

LARGEST_RATIO = 1000 / 16
"""A decoded side is at most so many times its anchor's, at least as small a part of it."""


def sides(boxes: paddle.Tensor) -> tuple[paddle.Tensor, paddle.Tensor]:
    """Widths and heights, [...] each, of boxes [..., 4]."""
    return boxes[..., 2] - boxes[..., 0], boxes[..., 3] - boxes[..., 1]


def pairwise_iou(boxes: paddle.Tensor, others: paddle.Tensor) -> paddle.Tensor:
    """[A, B] intersection over union of boxes [A, 4] and [B, 4]; 0 where the union is empty."""
    left, top, right, bottom = (
        choose(boxes[:, None, i], others[None, :, i])
        for i, choose in enumerate((paddle.maximum,) * 2 + (paddle.minimum,) * 2)
    )
    shared = (right - left).clip(min=0) * (bottom - top).clip(min=0)
    union = area(boxes)[:, None] + area(others)[None, :] - shared
    return shared / union.clip(min=1e-6)


def area(boxes: paddle.Tensor) -> paddle.Tensor:
    """[...] pixels of boxes [..., 4]."""
    width, height = sides(boxes)
    return width * height


def clip_boxes(boxes: paddle.Tensor, bounds: paddle.Tensor, least: float) -> paddle.Tensor:
    """Boxes inside `bounds`.

    Args:
        boxes: [..., 4].
        bounds: what broadcasts to [..., 4]: the box to stay in.
        least: side that is left of a box outside of it, in pixels.
    """
    margin = paddle.to_tensor([0, 0, least, least], "float32")
    low = paddle.concat([bounds[..., :2], bounds[..., :2]], -1) + margin
    high = paddle.concat([bounds[..., 2:], bounds[..., 2:]], -1) - margin.flip(0)
    return paddle.maximum(paddle.minimum(boxes, high), low)


def kept_by_nms(boxes: paddle.Tensor, threshold: float) -> paddle.Tensor:
    """Places of the boxes [N, 4], best first, that overlap no better kept one by more."""
    if boxes.shape[0] == 0:
        return paddle.zeros([0], "int64")
    return ops.nms(boxes, threshold)


class BoxCoder:
    """Boxes as offsets from reference boxes (Ren et al., NeurIPS 2015, section 3.1.2).

    (dx, dy) are the way between the centres in sides of the reference, (dw, dh) the logarithms of
    the sides' ratios, all divided by `scales`.

    Args:
        scales: standard deviations of the four.
    """

    def __init__(self, scales: Sequence[float] = (1.0, 1.0, 1.0, 1.0)) -> None:
        self.scales = paddle.to_tensor(list(scales), "float32")

    def encode(self, references: paddle.Tensor, boxes: paddle.Tensor) -> paddle.Tensor:
        """The offsets [..., 4] that lead from `references` [..., 4] to `boxes` [..., 4]."""
        width, height = sides(references)
        goal_width, goal_height = sides(boxes)
        ways = [
            (boxes[..., 0] + goal_width / 2 - references[..., 0] - width / 2) / width,
            (boxes[..., 1] + goal_height / 2 - references[..., 1] - height / 2) / height,
            paddle.log(goal_width / width),
            paddle.log(goal_height / height),
        ]
        return paddle.stack(ways, -1) / self.scales

    def decode(self, references: paddle.Tensor, offsets: paddle.Tensor) -> paddle.Tensor:
        """The boxes [..., 4] at `offsets` [..., 4] from `references`, which broadcast.

        An offset that is not a number counts as none: what a diverging network says must not
        decide which memory is read.
        """
        offsets = paddle.where(offsets.isnan(), 0.0, offsets * self.scales)
        most = math.log(LARGEST_RATIO)
        width, height = sides(references)
        center_x = references[..., 0] + width / 2 + width * offsets[..., 0]
        center_y = references[..., 1] + height / 2 + height * offsets[..., 1]
        half_width = width * offsets[..., 2].clip(-most, most).exp() / 2
        half_height = height * offsets[..., 3].clip(-most, most).exp() / 2
        return paddle.stack(
            [
                center_x - half_width,
                center_y - half_height,
                center_x + half_width,
                center_y + half_height,
            ],
            -1,
        )
