"""Anchors of a level."""

from __future__ import annotations

import math

import numpy as np
import paddle
import pytest

from panoptic_deeplab.models.roi.anchors import (
    corner_anchors,
    grid_anchors,
    inside,
    middle_anchors,
    rounded_anchors,
    touching,
)

CLOSED = np.array([0, 0, 1, 1])


def tensor(values: object) -> paddle.Tensor:
    return paddle.to_tensor(np.array(values, np.float32))


@pytest.mark.parametrize(
    ("stride", "closed"),
    [
        (4, [[-21, -9, 24, 12], [-14, -14, 17, 17], [-9, -21, 12, 24]]),
        (8, [[-41, -19, 48, 26], [-28, -28, 35, 35], [-19, -41, 26, 48]]),
        (16, [[-83, -37, 98, 52], [-56, -56, 71, 71], [-37, -83, 52, 98]]),
        (32, [[-165, -75, 196, 106], [-112, -112, 143, 143], [-75, -165, 106, 196]]),
    ],
)
def test_anchors_are_the_released_ones(stride: int, closed: list[list[int]]) -> None:
    assert (rounded_anchors(stride, 8) - CLOSED).tolist() == closed


def test_exact_anchors_lie_about_the_middle_of_the_location() -> None:
    wide, square, tall = middle_anchors(4, 8)
    assert square.tolist() == [-14, -14, 18, 18]
    half = 16 * math.sqrt(2)
    np.testing.assert_allclose(wide, [2 - half, 2 - half / 2, 2 + half, 2 + half / 2], rtol=1e-6)
    np.testing.assert_array_equal(tall, wide[[1, 0, 3, 2]])


def test_anchors_of_other_frameworks_lie_about_the_corner_of_the_location() -> None:
    assert corner_anchors(4, 8)[1].tolist() == [-16, -16, 16, 16]
    np.testing.assert_allclose(corner_anchors(16, 4) + 8, middle_anchors(16, 4))


def test_anchors_go_along_the_rows() -> None:
    base = rounded_anchors(4, 8)
    anchors = grid_anchors((2, 3), 4, base).numpy()
    assert anchors.shape == (18, 4)
    np.testing.assert_array_equal(anchors[:3], base)
    np.testing.assert_array_equal(anchors[3:6], base + np.array([4, 0, 4, 0]))
    np.testing.assert_array_equal(anchors[9:12], base + np.array([0, 4, 0, 4]))


def test_anchors_may_touch_the_border_but_not_cross_it() -> None:
    anchors = tensor([[0, 0, 8, 8], [-1, 0, 8, 8], [0, 0, 8, 9], [2, 2, 4, 4]])
    assert inside(anchors, tensor([0, 0, 8, 8])).tolist() == [True, False, False, True]


def test_anchors_that_only_meet_the_border_do_not_touch_the_image() -> None:
    anchors = tensor([[-8, -8, 0, 4], [-8, -8, 1, 1], [7, 7, 20, 20], [0, 8, 8, 16]])
    assert touching(anchors, tensor([0, 0, 8, 8])).tolist() == [False, True, True, False]
