"""The legend: entries, amounts and rows."""

import numpy as np
from streets import CAR, INFO, ROAD, touching_cars

from panoptic_deeplab.structures import PanopticMap, Prediction, Segment
from panoptic_deeplab.visualization import (
    instance_color,
)
from panoptic_deeplab.visualization.legend import draw_legend, legend_entries
from panoptic_deeplab.visualization.regions import RegionMap
from panoptic_deeplab.visualization.text import shortened, text_width


def test_legend_groups_things_stuff_and_void() -> None:
    groups = legend_entries(RegionMap.of(touching_cars(), INFO))
    texts = {title: [(entry.name, entry.amount) for entry in groups[title]] for title in groups}
    # 54 pixels: 16 sky, 14 road, 6 void, 2 cars.
    assert texts == {
        "things": [("car", "x2")],
        "stuff": [("road", "26%"), ("sky", "30%")],
        "void": [("", "11%")],
    }
    assert groups["things"][0].colors == tuple(instance_color(CAR, n, INFO) for n in range(2))
    assert groups["stuff"][0].colors == ((128, 64, 128),)


def test_legend_leaves_out_what_does_not_occur() -> None:
    prediction = Prediction(np.ones((2, 2), np.int32), [Segment(1, ROAD), Segment(2, CAR)])
    groups = legend_entries(RegionMap.of(prediction, INFO))
    assert list(groups) == ["stuff"]


def test_crowds_are_not_counted_as_instances() -> None:
    ids = np.array([[1, 2, 3]], np.int32)
    segments = [Segment(1, CAR, iscrowd=True), Segment(2, CAR), Segment(3, CAR)]
    region_map = RegionMap.of(PanopticMap(ids, segments), INFO)
    assert legend_entries(region_map)["things"][0].amount == "x2 + group"
    assert region_map.regions[1].color == instance_color(CAR, 0, INFO)


def test_legend_shows_its_colors_and_breaks_into_rows() -> None:
    groups = legend_entries(RegionMap.of(touching_cars(), INFO))
    wide, narrow = draw_legend(groups, 800, 14), draw_legend(groups, 200, 14)
    assert (wide.shape[1], narrow.shape[1]) == (800, 200)
    assert len(narrow) > len(wide)
    for color in [(128, 64, 128), (70, 130, 180), (0, 0, 142), (0, 0, 0)]:
        assert (wide == color).all(axis=2).sum() > 50


def test_long_names_are_cut() -> None:
    text = shortened("a very long name of a class", 14, 80)
    assert text.startswith("a very")
    assert text.endswith("..")
    assert text_width(text, 14) <= 80
    assert shortened("car", 14, 80) == "car"
    assert shortened("car", 14, 1) == ""
