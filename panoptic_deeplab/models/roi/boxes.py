"""Boxes: sizes, overlaps, their coding as offsets from other boxes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import paddle
from paddle.vision import ops

LARGEST_RATIO = 1000 / 16
"""The largest ratio of a decoded side to its anchor's side, and of the anchor's to it."""


def sides(boxes: paddle.Tensor) -> tuple[paddle.Tensor, paddle.Tensor]:
    """Widths and heights, [...] each, of boxes [..., 4]."""
    return boxes[..., 2] - boxes[..., 0], boxes[..., 3] - boxes[..., 1]


def pairwise_iou(boxes: paddle.Tensor, others: paddle.Tensor) -> paddle.Tensor:
    """[A, B] intersection over union of boxes [A, 4] and [B, 4]; 0 where the union is empty."""
    left, top, right, bottom = (
        choose(boxes[:, None, i], others[None, :, i])
        for i, choose in enumerate((paddle.maximum,) * 2 + (paddle.minimum,) * 2)
    )
    intersection = (right - left).clip(min=0) * (bottom - top).clip(min=0)
    union = area(boxes)[:, None] + area(others)[None, :] - intersection
    return intersection / union.clip(min=1e-6)


def area(boxes: paddle.Tensor) -> paddle.Tensor:
    """[...] pixels of boxes [..., 4]."""
    width, height = sides(boxes)
    return width * height


def clip_boxes(boxes: paddle.Tensor, bounds: paddle.Tensor, min_side: float) -> paddle.Tensor:
    """Clip boxes to `bounds`.

    Args:
        boxes: [..., 4].
        bounds: broadcasts to [..., 4]: the box to stay in.
        min_side: pixels that are left of a box outside its bounds.
    """
    margin = paddle.to_tensor([0, 0, min_side, min_side], "float32")
    low = paddle.concat([bounds[..., :2], bounds[..., :2]], -1) + margin
    high = paddle.concat([bounds[..., 2:], bounds[..., 2:]], -1) - margin.flip(0)
    return paddle.maximum(paddle.minimum(boxes, high), low)


def kept_by_nms(boxes: paddle.Tensor, threshold: float) -> paddle.Tensor:
    """Indices of the boxes kept of [N, 4], best first: none overlaps a better one by more."""
    if boxes.shape[0] == 0:
        return paddle.zeros([0], "int64")
    return ops.nms(boxes, threshold)


class BoxCoder:
    """Boxes as offsets from reference boxes (Ren et al., NeurIPS 2015, section 3.1.2).

    (dx, dy) lead from the reference's center to the box's, in sides of the reference; (dw, dh) are
    the logarithms of the sides' ratios. All are divided by `scales`.

    Args:
        scales: standard deviations of (dx, dy, dw, dh).
    """

    def __init__(self, scales: Sequence[float] = (1.0, 1.0, 1.0, 1.0)) -> None:
        self.scales = paddle.to_tensor(list(scales), "float32")

    def encode(self, references: paddle.Tensor, boxes: paddle.Tensor) -> paddle.Tensor:
        """The offsets [..., 4] that lead from `references` [..., 4] to `boxes` [..., 4]."""
        width, height = sides(references)
        box_width, box_height = sides(boxes)
        offsets = [
            (boxes[..., 0] + box_width / 2 - references[..., 0] - width / 2) / width,
            (boxes[..., 1] + box_height / 2 - references[..., 1] - height / 2) / height,
            paddle.log(box_width / width),
            paddle.log(box_height / height),
        ]
        return paddle.stack(offsets, -1) / self.scales

    def decode(self, references: paddle.Tensor, offsets: paddle.Tensor) -> paddle.Tensor:
        """The boxes [..., 4] at `offsets` [..., 4] from `references`, which broadcast.

        An offset that is NaN counts as 0: the outputs of a diverging network must not decide
        which memory is read.
        """
        offsets = paddle.where(offsets.isnan(), 0.0, offsets * self.scales)
        max_log = math.log(LARGEST_RATIO)
        width, height = sides(references)
        center_x = references[..., 0] + width / 2 + width * offsets[..., 0]
        center_y = references[..., 1] + height / 2 + height * offsets[..., 1]
        half_width = width * offsets[..., 2].clip(-max_log, max_log).exp() / 2
        half_height = height * offsets[..., 3].clip(-max_log, max_log).exp() / 2
        return paddle.stack(
            [
                center_x - half_width,
                center_y - half_height,
                center_x + half_width,
                center_y + half_height,
            ],
            -1,
        )
