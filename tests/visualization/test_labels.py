"""Names on segments: where they stand."""

import numpy as np
from streets import CAR, INFO, ROAD, street

from panoptic_deeplab.structures import Prediction, Segment
from panoptic_deeplab.visualization.labels import place_labels
from panoptic_deeplab.visualization.regions import RegionMap


def test_names_stand_on_their_segments_and_on_no_other_name() -> None:
    prediction = street(512, 1024)
    region_map = RegionMap.of(prediction, INFO)
    labels = place_labels(region_map, 16)
    assert sorted(label.text for label in labels) == [
        "car 0.50",
        "car 0.60",
        "car 0.70",
        "car 0.80",
        "car 0.90",
        "road",
        "sky",
    ]
    covered = np.zeros(prediction.ids.shape, int)
    for label in labels:
        (y, x), (height, width) = label.center, label.size
        assert region_map.regions[region_map.index[y, x] - 1].name == label.text.split()[0]
        covered[y - height // 2 :, x - width // 2 :][:height, :width] += 1
        assert y - height // 2 >= 0
        assert y + height // 2 <= 512
        assert x - width // 2 >= 0
        assert x + width // 2 <= 1024
    assert covered.max() == 1


def test_a_name_stands_on_a_ring_not_in_its_hole() -> None:
    ids = np.full((400, 400), 1, np.int32)
    ids[80:320, 80:320] = 0
    (label,) = place_labels(RegionMap.of(Prediction(ids, [Segment(1, ROAD)]), INFO), 16)
    assert ids[label.center] == 1


def test_instances_too_small_for_text_have_none() -> None:
    ids = np.zeros((400, 400), np.int32)
    ids[10:18, 10:90] = 1  # flatter than letters
    assert place_labels(RegionMap.of(Prediction(ids, [Segment(1, CAR)]), INFO), 16) == []


def test_the_name_of_a_tracked_instance_has_its_number() -> None:
    ids = np.ones((400, 400), np.int32)
    car = Segment(1, CAR, score=0.5, track_id=12)
    (label,) = place_labels(RegionMap.of(Prediction(ids, [car]), INFO), 16)
    assert label.text == "car #12 0.50"
