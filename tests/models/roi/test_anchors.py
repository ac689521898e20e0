"""Anchors of a level."""

from __future__ import annotations

import math

import numpy as np
import paddle
import pytest

from panoptic_deeplab.models.roi.anchors import base_anchors, grid_anchors, inside

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
    assert (base_anchors(stride, 8) - CLOSED).tolist() == closed


def test_exact_anchors_lie_about_the_middle_of_the_location() -> None:
    wide, square, tall = base_anchors(4, 8, legacy=False)
    assert square.tolist() == [-14, -14, 18, 18]
    half = 16 * math.sqrt(2)
    np.testing.assert_allclose(wide, [2 - half, 2 - half / 2, 2 + half, 2 + half / 2], rtol=1e-6)
    np.testing.assert_array_equal(tall, wide[[1, 0, 3, 2]])


def test_anchors_go_along_the_rows() -> None:
    anchors = grid_anchors((2, 3), 4, 8).numpy()
    base = base_anchors(4, 8)
    assert anchors.shape == (18, 4)
    np.testing.assert_array_equal(anchors[:3], base)
    np.testing.assert_array_equal(anchors[3:6], base + np.array([4, 0, 4, 0]))
    np.testing.assert_array_equal(anchors[9:12], base + np.array([0, 4, 0, 4]))


def test_anchors_may_touch_the_border_but_not_cross_it() -> None:
    anchors = tensor([[0, 0, 8, 8], [-1, 0, 8, 8], [0, 0, 8, 9], [2, 2, 4, 4]])
    assert inside(anchors, tensor([0, 0, 8, 8])).tolist() == [True, False, False, True]
