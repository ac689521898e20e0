"""Class and instance maps, checked pixel by pixel."""

import numpy as np
import pytest
from streets import BLACK, CAR, INFO, ROAD, SKY, WHITE, touching_cars

from panoptic_deeplab.errors import DataError
from panoptic_deeplab.structures import DatasetInfo, Prediction, Segment
from panoptic_deeplab.visualization import (
    draw_instances,
    draw_semantic,
    instance_color,
)


def test_semantic_map_has_class_colors_and_black_void() -> None:
    image = draw_semantic(np.array([[ROAD, CAR], [SKY, 255]], np.uint8), INFO)
    assert image.dtype == np.uint8
    assert image.tolist() == [[[128, 64, 128], [0, 0, 142]], [[70, 130, 180], BLACK]]


@pytest.mark.parametrize("ignore_index", [-1, 3, 65535])
def test_semantic_map_takes_any_ignore_index(ignore_index: int) -> None:
    info = DatasetInfo("toy", INFO.categories, ignore_index)
    labels = np.array([[CAR, ignore_index]], np.int32)
    assert draw_semantic(labels, info).tolist() == [[[0, 0, 142], BLACK]]


def test_instance_map_colors_things_only() -> None:
    image = draw_instances(touching_cars(), INFO)
    assert image[3, 2].tolist() == list(instance_color(CAR, 0, INFO))
    assert image[3, 5].tolist() == list(instance_color(CAR, 1, INFO))
    assert image[3, 2].tolist() != image[3, 5].tolist()
    assert image[3, 3].tolist() == WHITE  # outline between the two
    assert image[0, 0].tolist() == image[5, 0].tolist() == image[0, 8].tolist() == BLACK


def test_thing_flag_of_the_segment_comes_before_its_class() -> None:
    ids = np.ones((3, 3), np.int32)
    as_class = draw_instances(Prediction(ids, [Segment(1, CAR)]), INFO)
    as_stuff = draw_instances(Prediction(ids, [Segment(1, CAR, is_thing=False)]), INFO)
    assert as_class[1, 1].tolist() == [0, 0, 142]
    assert as_stuff[1, 1].tolist() == BLACK


@pytest.mark.parametrize(
    ("draw", "arguments", "said"),
    [
        (draw_semantic, (np.array([[3]]), INFO), "label 3 is unknown to toy"),
        (draw_semantic, (np.array([[-2]]), INFO), "label -2"),
        (draw_semantic, (np.array([0.5]), INFO), "whole numbers"),
    ],
)
def test_bad_arguments(draw, arguments: tuple, said: str) -> None:
    with pytest.raises(DataError, match=said):
        draw(*arguments)
