"""Several images on one sheet."""

import numpy as np
import pytest
from streets import gray

from panoptic_deeplab.errors import DataError
from panoptic_deeplab.visualization import (
    side_by_side,
)


def test_sheet_has_panels_of_one_height_in_order() -> None:
    red, blue = np.zeros((2, 50, 100, 3), np.uint8)
    red[..., 0], blue[..., 2] = 255, 255
    sheet = side_by_side([red, blue.repeat(2, axis=0).repeat(2, axis=1)], ["small", "large"])
    is_red, is_blue = ((sheet == color).all(axis=2) for color in ([255, 0, 0], [0, 0, 255]))
    assert is_red.sum() == is_blue.sum() == 100 * 200
    assert np.argwhere(is_red)[0][0] == np.argwhere(is_blue)[0][0] > 10, "titles are above"
    assert np.argwhere(is_red)[:, 1].max() < np.argwhere(is_blue)[:, 1].min()
    assert (sheet[: np.argwhere(is_red)[0][0]] < 100).any(), "titles are written"


@pytest.mark.parametrize(
    ("draw", "arguments", "said"),
    [
        (side_by_side, ([], []), "got 0 images"),
        (side_by_side, ([gray(2, 2)], []), "1 images and 0 titles"),
        (side_by_side, ([gray(2, 2)[..., 0]], ["a"]), "'a'.*uint8"),
    ],
)
def test_bad_arguments(draw, arguments: tuple, said: str) -> None:
    with pytest.raises(DataError, match=said):
        draw(*arguments)
