"""Images are checked pixel by pixel on maps small enough to draw by hand."""

import numpy as np
import pytest

from panoptic_deeplab.errors import DataError
from panoptic_deeplab.structures import Category, DatasetInfo, PanopticMap, Prediction, Segment
from panoptic_deeplab.visualization import (
    draw_heatmap,
    draw_instances,
    draw_offsets,
    draw_panoptic,
    draw_semantic,
    instance_color,
    side_by_side,
)
from panoptic_deeplab.visualization.labels import place_labels
from panoptic_deeplab.visualization.legend import draw_legend, legend_entries
from panoptic_deeplab.visualization.regions import RegionMap, thing_outlines
from panoptic_deeplab.visualization.text import shortened, text_width

ROAD, CAR, SKY = range(3)
INFO = DatasetInfo(
    "toy",
    (
        Category("road", False, (128, 64, 128), 7),
        Category("car", True, (0, 0, 142), 26),
        Category("sky", False, (70, 130, 180), 23),
    ),
)
WHITE, BLACK = [255, 255, 255], [0, 0, 0]


def touching_cars() -> Prediction:
    """Sky above, road below, one column of void; two cars side by side on the road."""
    ids = np.array(
        [
            [1, 1, 1, 1, 1, 1, 1, 1, 0],
            [1, 1, 1, 1, 1, 1, 1, 1, 0],
            [2, 3, 3, 3, 4, 4, 4, 2, 0],
            [2, 3, 3, 3, 4, 4, 4, 2, 0],
            [2, 3, 3, 3, 4, 4, 4, 2, 0],
            [2, 2, 2, 2, 2, 2, 2, 2, 0],
        ],
        np.int32,
    )
    cars = [Segment(3, CAR, score=0.93), Segment(4, CAR, score=0.5)]
    return Prediction(ids, [Segment(1, SKY), Segment(2, ROAD), *cars])


def street(height: int, width: int) -> Prediction:
    """Sky over road with a row of five cars, the last cut by the border."""
    ids = np.full((height, width), 1, np.int32)
    ids[height // 2 :] = 2
    segments = [Segment(1, SKY, score=0.9), Segment(2, ROAD)]
    for n in range(5):
        left = n * width // 5
        ids[height // 3 : height * 3 // 4, left : left + max(1, width // 6)] = 10 + n
        segments.append(Segment(10 + n, CAR, is_thing=True, score=0.5 + n / 10))
    return Prediction(ids, segments)


def gray(height: int, width: int) -> np.ndarray:
    return np.full((height, width, 3), 100, np.uint8)


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


def test_semantic_map_has_class_colors_and_black_void() -> None:
    image = draw_semantic(np.array([[ROAD, CAR], [SKY, 255]], np.uint8), INFO)
    assert image.dtype == np.uint8
    assert image.tolist() == [[[128, 64, 128], [0, 0, 142]], [[70, 130, 180], BLACK]]


@pytest.mark.parametrize("ignore_index", [-1, 3, 65535])
def test_semantic_map_takes_any_ignore_index(ignore_index: int) -> None:
    info = DatasetInfo("toy", INFO.categories, ignore_index)
    labels = np.array([[CAR, ignore_index]], np.int32)
    assert draw_semantic(labels, info).tolist() == [[[0, 0, 142], BLACK]]


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


def test_instance_map_colors_things_only() -> None:
    image = draw_instances(touching_cars(), INFO)
    assert image[3, 2].tolist() == list(instance_color(CAR, 0, INFO))
    assert image[3, 5].tolist() == list(instance_color(CAR, 1, INFO))
    assert image[3, 2].tolist() != image[3, 5].tolist()
    assert image[3, 3].tolist() == WHITE  # outline between the two
    assert image[0, 0].tolist() == image[5, 0].tolist() == image[0, 8].tolist() == BLACK


def test_order_of_segments_changes_nothing() -> None:
    prediction = touching_cars()
    reversed_order = Prediction(prediction.ids, prediction.segments[::-1])
    image = gray(6, 9)
    np.testing.assert_array_equal(
        draw_instances(prediction, INFO), draw_instances(reversed_order, INFO)
    )
    np.testing.assert_array_equal(
        draw_panoptic(image, prediction, INFO), draw_panoptic(image, reversed_order, INFO)
    )


def test_thing_flag_of_the_segment_comes_before_its_class() -> None:
    ids = np.ones((3, 3), np.int32)
    as_class = draw_instances(Prediction(ids, [Segment(1, CAR)]), INFO)
    as_stuff = draw_instances(Prediction(ids, [Segment(1, CAR, is_thing=False)]), INFO)
    assert as_class[1, 1].tolist() == [0, 0, 142]
    assert as_stuff[1, 1].tolist() == BLACK


def test_overlay_blends_each_segment_with_its_color() -> None:
    """Large enough that pixels without a name or an outline exist; not enlarged."""
    prediction, image = street(480, 960), gray(480, 960)
    image_before = image.copy()
    overlay = draw_panoptic(image, prediction, INFO)
    assert overlay.shape[1:] == (960, 3)
    assert overlay.shape[0] > 480, "a legend is below"
    sky, road = overlay[5, 5], overlay[475, 5]
    assert sky.tolist() == [85, 115, 140]  # half of (70, 130, 180), half of gray 100
    assert road.tolist() == [114, 82, 114]
    first, second = overlay[170, 10], overlay[170, 202]
    assert first.tolist() == [50, 50, 121]
    np.testing.assert_allclose(
        second, (np.array(instance_color(CAR, 1, INFO)) + 100) / 2, atol=1, rtol=0
    )
    assert overlay[200, 159].tolist() == WHITE  # the last column of the first car
    assert overlay[200, 160].tolist() == (overlay[100, 160] // 2).tolist()  # dark line outside
    np.testing.assert_array_equal(image, image_before)


def test_void_is_darkened() -> None:
    prediction = Prediction(np.zeros((480, 480), np.int32), [])
    image = draw_panoptic(gray(480, 480), prediction, INFO)
    assert np.unique(image[:480]).tolist() == [50]


def test_two_drawings_are_equal() -> None:
    drawings = [draw_panoptic(gray(256, 512), street(256, 512), INFO) for _ in range(2)]
    np.testing.assert_array_equal(*drawings)


def test_small_pictures_are_enlarged_by_a_whole_factor() -> None:
    assert draw_panoptic(gray(256, 512), street(256, 512), INFO).shape[1] == 1024
    assert draw_panoptic(gray(480, 640), street(480, 640), INFO).shape[1] == 640


@pytest.mark.parametrize(
    "size",
    [(1, 1), (1, 9), (9, 1), (7, 5), (33, 47), (20, 900), (900, 20), (101, 333), (31, 5000)],
)
def test_odd_sizes(size: tuple[int, int]) -> None:
    image = draw_panoptic(gray(*size), street(*size), INFO)
    assert image.dtype == np.uint8
    assert image.shape[0] >= size[0]
    assert image.shape[1] >= size[1]
    assert draw_instances(street(*size), INFO).shape == (*size, 3)


def test_tall_pictures_have_the_legend_beside() -> None:
    image = draw_panoptic(gray(960, 480), street(960, 480), INFO)
    assert image.shape[0] == 960
    assert image.shape[1] > 480


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


def test_three_hundred_instances_are_drawn_and_counted() -> None:
    ids = np.arange(300, dtype=np.int32).reshape(15, 20).repeat(32, axis=0).repeat(32, axis=1) + 1
    prediction = Prediction(ids, [Segment(n, CAR, score=1.0) for n in range(1, 301)])
    (entry,) = legend_entries(RegionMap.of(prediction, INFO))["things"]
    assert entry.amount == "x300"
    assert draw_panoptic(gray(*ids.shape), prediction, INFO).shape[1] == 640


def test_legend_tells_things_stuff_and_void_apart() -> None:
    groups = legend_entries(RegionMap.of(touching_cars(), INFO))
    said = {title: [(entry.name, entry.amount) for entry in groups[title]] for title in groups}
    # 54 pixels: 16 sky, 14 road, 6 void, 2 cars.
    assert said == {
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


def test_names_with_line_breaks_and_foreign_letters_are_drawn() -> None:
    info = DatasetInfo("toy", (Category("two\nlines 汽车", True, (9, 9, 9), 1),))
    prediction = Prediction(np.ones((480, 640), np.int32), [Segment(1, 0)])
    assert draw_panoptic(gray(480, 640), prediction, info).shape[1] == 640


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


def test_views_are_drawn_as_their_copies() -> None:
    """Mirrored arrays, as flipping makes them, are no problem."""
    image = np.random.default_rng(0).integers(0, 255, (50, 70, 3), np.uint8)
    prediction = street(50, 70)
    mirrored = Prediction(prediction.ids[:, ::-1], prediction.segments)
    copied = Prediction(mirrored.ids.copy(), prediction.segments)
    np.testing.assert_array_equal(
        draw_panoptic(image[:, ::-1], mirrored, INFO),
        draw_panoptic(image[:, ::-1].copy(), copied, INFO),
    )
    offsets = np.random.default_rng(1).normal(size=(2, 5, 7))[:, :, ::-1]
    np.testing.assert_array_equal(draw_offsets(offsets), draw_offsets(offsets.copy()))
    np.testing.assert_array_equal(draw_heatmap(offsets[0].T), draw_heatmap(offsets[0].T.copy()))


def test_sheet_has_panels_of_one_height_in_order() -> None:
    red, blue = np.zeros((2, 50, 100, 3), np.uint8)
    red[..., 0], blue[..., 2] = 255, 255
    sheet = side_by_side([red, blue.repeat(2, axis=0).repeat(2, axis=1)], ["small", "large"])
    is_red, is_blue = ((sheet == color).all(axis=2) for color in ([255, 0, 0], [0, 0, 255]))
    assert is_red.sum() == is_blue.sum() == 100 * 200
    assert np.argwhere(is_red)[0][0] == np.argwhere(is_blue)[0][0] > 10, "titles are above"
    assert np.argwhere(is_red)[:, 1].max() < np.argwhere(is_blue)[:, 1].min()
    assert (sheet[: np.argwhere(is_red)[0][0]] < 100).any(), "titles are written"


IDS = np.ones((4, 4), np.int32)
CAR_1 = [Segment(1, CAR)]


@pytest.mark.parametrize(
    ("image", "ids", "segments", "said"),
    [
        (gray(4, 5), IDS, CAR_1, r"the image is \[4, 5\].*its prediction \[4, 4\]"),
        (gray(4, 4)[..., 0], IDS, CAR_1, r"expected an image \[H, W, 3\] uint8.*\[4, 4\]"),
        (gray(4, 4) / 255, IDS, CAR_1, "float64"),
        (gray(0, 4), IDS[:0], CAR_1, r"\[0, 4, 3\]"),
        (gray(4, 4), IDS, [Segment(1, 3)], r"category 3 is unknown to toy.*0\.\.2"),
        (gray(4, 4), IDS, [Segment(1, -1)], "category -1 is unknown"),
        (gray(4, 4), IDS, [], r"id 1 at pixel \(y 0, x 0\) has no segment"),
        (gray(4, 4), -IDS, CAR_1, "got -1"),
        (gray(4, 4), IDS * 1.0, CAR_1, "whole numbers, got float64"),
        (gray(4, 4), IDS, CAR_1 * 2, "ids of their own"),
        (gray(4, 4), IDS, [*CAR_1, Segment(0, CAR)], "above 0"),
    ],
)
def test_bad_predictions(image: np.ndarray, ids: np.ndarray, segments: list, said: str) -> None:
    with pytest.raises(DataError, match=said) as caught:
        draw_panoptic(image, Prediction(ids, segments), INFO)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("draw", "arguments", "said"),
    [
        (draw_semantic, (np.array([[3]]), INFO), "label 3 is unknown to toy"),
        (draw_semantic, (np.array([[-2]]), INFO), "label -2"),
        (draw_semantic, (np.array([0.5]), INFO), "whole numbers"),
        (instance_color, (3, 0, INFO), "category 3"),
        (draw_heatmap, (np.zeros((1, 2, 2)),), r"\[1, 2, 2\]"),
        (draw_offsets, (np.zeros((2, 2)),), r"\[2, H, W\]"),
        (draw_offsets, (np.zeros((3, 2, 2)),), r"\[3, 2, 2\]"),
        (draw_offsets, (np.zeros((2, 2, 2)), np.ones((2, 3), bool)), "thing mask"),
        (side_by_side, ([], []), "got 0 images"),
        (side_by_side, ([gray(2, 2)], []), "1 images and 0 titles"),
        (side_by_side, ([gray(2, 2)[..., 0]], ["a"]), "'a'.*uint8"),
    ],
)
def test_bad_arguments(draw, arguments: tuple, said: str) -> None:
    with pytest.raises(DataError, match=said):
        draw(*arguments)


@pytest.mark.parametrize("length", [0, -1, float("nan")])
def test_bad_offset_length(length: float) -> None:
    with pytest.raises(DataError, match="max_length above 0"):
        draw_offsets(np.zeros((2, 2, 2)), max_length=length)
