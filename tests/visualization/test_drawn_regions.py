"""The regions of a map and their outlines."""

import numpy as np
from streets import CAR, INFO, ROAD, touching_cars

from panoptic_deeplab.structures import Prediction, Segment
from panoptic_deeplab.visualization.regions import RegionMap, thing_outlines


def test_outlines_run_inside_things_and_not_along_the_border() -> None:
    outlines = thing_outlines(RegionMap.of(touching_cars(), INFO))
    # Each car is 3x3: all but its middle borders on another region.
    assert outlines.astype(int).tolist() == [
        [0, 0, 0, 0, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 0, 0, 0],
        [0, 1, 1, 1, 1, 1, 1, 0, 0],
        [0, 1, 0, 1, 1, 0, 1, 0, 0],
        [0, 1, 1, 1, 1, 1, 1, 0, 0],
        [0, 0, 0, 0, 0, 0, 0, 0, 0],
    ]
    whole = Prediction(np.ones((4, 4), np.int32), [Segment(1, CAR)])
    assert not thing_outlines(RegionMap.of(whole, INFO)).any()


def test_the_color_of_an_instance_follows_its_track() -> None:
    ids = np.array([[1, 2, 3]], np.int32)
    now = [Segment(1, ROAD), Segment(2, CAR, track_id=1), Segment(3, CAR, track_id=8)]
    later = [Segment(1, CAR, track_id=8), Segment(2, ROAD), Segment(3, CAR, track_id=1)]
    first = RegionMap.of(Prediction(ids, now), INFO).colors
    second = RegionMap.of(Prediction(ids, later), INFO).colors
    assert first[2].tolist() == second[3].tolist() == list(INFO.categories[CAR].color)
    assert first[3].tolist() == second[1].tolist() != first[2].tolist()
