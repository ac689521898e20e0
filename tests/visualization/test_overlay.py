"""The overlay: colors, outlines, enlargement and place of the legend."""

import numpy as np
import pytest
from streets import CAR, INFO, WHITE, gray, street, touching_cars

from panoptic_deeplab.errors import DataError
from panoptic_deeplab.structures import Category, DatasetInfo, Prediction, Segment
from panoptic_deeplab.visualization import (
    draw_heatmap,
    draw_instances,
    draw_offsets,
    draw_panoptic,
    instance_color,
)
from panoptic_deeplab.visualization.legend import legend_entries
from panoptic_deeplab.visualization.regions import RegionMap


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


def test_small_images_are_enlarged_by_an_integer_factor() -> None:
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


def test_tall_images_have_the_legend_beside() -> None:
    image = draw_panoptic(gray(960, 480), street(960, 480), INFO)
    assert image.shape[0] == 960
    assert image.shape[1] > 480


def test_three_hundred_instances_are_drawn_and_counted() -> None:
    ids = np.arange(300, dtype=np.int32).reshape(15, 20).repeat(32, axis=0).repeat(32, axis=1) + 1
    prediction = Prediction(ids, [Segment(n, CAR, score=1.0) for n in range(1, 301)])
    (entry,) = legend_entries(RegionMap.of(prediction, INFO))["things"]
    assert entry.amount == "x300"
    assert draw_panoptic(gray(*ids.shape), prediction, INFO).shape[1] == 640


def test_names_with_line_breaks_and_foreign_letters_are_drawn() -> None:
    info = DatasetInfo("toy", (Category("two\nlines 汽车", True, (9, 9, 9), 1),))
    prediction = Prediction(np.ones((480, 640), np.int32), [Segment(1, 0)])
    assert draw_panoptic(gray(480, 640), prediction, info).shape[1] == 640


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
