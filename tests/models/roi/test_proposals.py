"""Proposals of the region proposal network."""

from __future__ import annotations

import numpy as np
import paddle

from panoptic_deeplab.models.roi.proposals import propose
from panoptic_deeplab.models.roi.rpn import Level


def tensor(values: object) -> paddle.Tensor:
    return paddle.to_tensor(np.array(values, np.float32))


def one_level(logits: list[float], boxes: list[list[float]]) -> Level:
    """A level whose anchors are the boxes; in the second of two images all logits are 0."""
    both_logits = tensor([logits, [0.0] * len(logits)])
    return Level(tensor(boxes), both_logits, paddle.zeros([2, len(boxes), 4]))


def test_proposals() -> None:
    """Non-maximum suppression in each level, then the best of all levels."""
    fine = one_level([1, 3, 2, -9], [[0, 0, 8, 8], [20, 0, 28, 8], [20, 0, 28, 9], [40, 0, 48, 8]])
    coarse = one_level([2.5, 5], [[20, 0, 28, 8], [-10, 30, 16, 60]])
    first, second = propose(
        [fine, coarse],
        tensor([[0, 0, 50, 50]] * 2),
        candidates=3,
        count=3,
        nms_threshold=0.7,
        min_side=1.0,
    )
    assert first.tolist() == [[0, 30, 16, 50], [20, 0, 28, 8], [20, 0, 28, 8]]
    assert len(second) == 3


def test_more_anchors_are_looked_at_than_are_kept() -> None:
    """The two best overlap: with two candidates one is left, with three the third is kept too."""
    level = one_level([3, 2, 1], [[0, 0, 8, 8], [0, 0, 8, 7], [20, 0, 28, 8]])
    for candidates, expected in ((2, [[0, 0, 8, 8]]), (3, [[0, 0, 8, 8], [20, 0, 28, 8]])):
        first, _ = propose(
            [level],
            tensor([[0, 0, 50, 50]] * 2),
            candidates=candidates,
            count=2,
            nms_threshold=0.7,
            min_side=0.0,
        )
        assert first.tolist() == expected


def test_boxes_outside_the_image_are_left_out() -> None:
    """Without any other, the image is the proposal."""
    level = one_level([3, 2], [[60, 0, 68, 8], [40, 40, 60, 60]])
    first, second = propose(
        [level, level],
        tensor([[0, 0, 50, 50], [0, 0, 30, 20]]),
        candidates=9,
        count=9,
        nms_threshold=0.7,
        min_side=0.0,
    )
    assert first.tolist() == [[40, 40, 50, 50]] * 2
    assert second.tolist() == [[0, 0, 30, 20]]
