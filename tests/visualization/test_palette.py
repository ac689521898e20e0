"""The colors of classes and instances."""

import numpy as np
import pytest
from streets import CAR, INFO

from panoptic_deeplab.errors import DataError
from panoptic_deeplab.visualization import (
    instance_color,
)


def test_first_instance_has_the_class_color_and_others_are_different_shades() -> None:
    assert instance_color(CAR, 0, INFO) == (0, 0, 142)
    shades = [instance_color(CAR, n, INFO) for n in range(300)]
    assert len(set(shades)) > 290
    assert all(blue == max(shade) for shade in shades for blue in shade[2:]), "cars stay blue"
    assert shades == [instance_color(CAR, n, INFO) for n in range(300)]


def test_instances_next_in_number_differ_clearly() -> None:
    shades = np.array([instance_color(CAR, n, INFO) for n in range(50)], float)
    steps = np.linalg.norm(np.diff(shades, axis=0), axis=1)
    assert steps.min() > 40


@pytest.mark.parametrize(
    ("draw", "arguments", "said"),
    [
        (instance_color, (3, 0, INFO), "category 3"),
    ],
)
def test_bad_arguments(draw, arguments: tuple, said: str) -> None:
    with pytest.raises(DataError, match=said):
        draw(*arguments)
