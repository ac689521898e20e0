"""The regions of a map and their outlines."""

import numpy as np
from streets import CAR, INFO, touching_cars

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
