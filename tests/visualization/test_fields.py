"""Center heatmaps and offsets in color."""

import numpy as np
import pytest
from streets import BLACK, WHITE

from panoptic_deeplab.errors import DataError
from panoptic_deeplab.visualization import (
    draw_heatmap,
    draw_offsets,
)


def test_a_heatmap_is_brighter_for_higher_values_on_a_fixed_scale() -> None:
    image = draw_heatmap(np.array([[0, 0.25, 0.5, 1, 7, np.nan]], np.float32)).astype(int)
    brightness = image.sum(axis=2)[0]
    assert (np.diff(brightness[:4]) > 0).all()
    assert image[0, 4].tolist() == image[0, 3].tolist()
    assert image[0, 5].tolist() == image[0, 0].tolist()
    red, _, blue = image[0, 2]
    assert red > blue, "RGB, not BGR: the middle of the scale is red"


def test_offset_hue_is_the_direction() -> None:
    """Offsets are (y, x): right, down, left, up and none."""
    offsets = np.array([[[0, 4, 0, -4, 0]], [[4, 0, -4, 0, 0]]], np.float32)
    right, down, left, up, none = draw_offsets(offsets)[0].tolist()
    assert right == [255, 0, 0]
    np.testing.assert_allclose(down, [128, 255, 0], atol=2)
    np.testing.assert_allclose(left, [0, 255, 255], atol=2)
    np.testing.assert_allclose(up, [128, 0, 255], atol=2)
    assert none == WHITE


def test_offset_saturation_is_the_length() -> None:
    offsets = np.array([[[0, 0, 0]], [[2, 4, 8]]], np.float32)
    by_longest = draw_offsets(offsets)[0]
    np.testing.assert_allclose(by_longest[:, 1], [191, 128, 0], atol=1)
    by_four = draw_offsets(offsets, max_length=4)[0]
    np.testing.assert_allclose(by_four[:, 1], [128, 0, 0], atol=1)


def test_offsets_outside_the_mask_are_black_and_set_no_scale() -> None:
    offsets = np.array([[[0, 0]], [[2, 100]]], np.float32)
    image = draw_offsets(offsets, np.array([[True, False]]))
    assert image.tolist() == [[[255, 0, 0], BLACK]]


@pytest.mark.parametrize("length", [0, -1, float("nan")])
def test_bad_offset_length(length: float) -> None:
    with pytest.raises(DataError, match="max_length above 0"):
        draw_offsets(np.zeros((2, 2, 2)), max_length=length)


@pytest.mark.parametrize(
    ("draw", "arguments", "said"),
    [
        (draw_heatmap, (np.zeros((1, 2, 2)),), r"\[1, 2, 2\]"),
        (draw_offsets, (np.zeros((2, 2)),), r"\[2, H, W\]"),
        (draw_offsets, (np.zeros((3, 2, 2)),), r"\[3, 2, 2\]"),
        (draw_offsets, (np.zeros((2, 2, 2)), np.ones((2, 3), bool)), "thing mask"),
    ],
)
def test_bad_arguments(draw, arguments: tuple, said: str) -> None:
    with pytest.raises(DataError, match=said):
        draw(*arguments)
