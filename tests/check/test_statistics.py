"""Statistics of a split, counted by hand."""

from __future__ import annotations

import pytest

from panoptic_deeplab.check.images import ImageReport
from panoptic_deeplab.check.statistics import Statistics
from panoptic_deeplab.structures import Category, DatasetInfo, Segment

ROAD, CAR = range(2)
INFO = DatasetInfo(
    "toy", (Category("road", False, (128, 64, 128), 7), Category("car", True, (0, 0, 142), 26))
)


def test_one_image_of_24_pixels() -> None:
    """12 pixels of road, a car of 5, a crowd of 4 and 3 pixels of void."""
    segments = [(Segment(1, ROAD), 12), (Segment(2, CAR), 5), (Segment(3, CAR, iscrowd=True), 4)]
    statistics = Statistics(INFO)
    statistics.add(ImageReport("1", [], size=(4, 6), segments=segments, pixels=24))
    statistics.add(ImageReport("2", [], size=(4, 6)))  # without annotation
    assert (statistics.images, statistics.annotated, statistics.pixels) == (2, 1, 24)
    assert statistics.sizes == {(4, 6): 2}
    assert statistics.instances == {1: 1}
    assert statistics.void_fraction == pytest.approx(3 / 24)
    assert statistics.pixel_fraction(CAR) == pytest.approx(9 / 24)
    assert (statistics.classes[CAR].segments, statistics.classes[CAR].crowds) == (1, 1)
    assert statistics.absent() == []


def test_bins_cover_all_images() -> None:
    statistics = Statistics(INFO)
    statistics.instances.update({2: 1, 3: 2, 9: 4})
    assert statistics.instance_bins(4) == [("2-3", 3), ("4-5", 0), ("6-7", 0), ("8-9", 4)]
    assert statistics.instance_bins(100)[0] == ("2", 1)
