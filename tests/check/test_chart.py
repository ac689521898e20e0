"""The chart of statistics: its bars, and names of any letters."""

from __future__ import annotations

import numpy as np
import pytest

from panoptic_deeplab.check.chart import _percent, draw_statistics
from panoptic_deeplab.check.images import ImageReport
from panoptic_deeplab.check.splits import SplitCheck
from panoptic_deeplab.check.statistics import Statistics
from panoptic_deeplab.structures import Category, DatasetInfo, Segment

RED, BLUE = (200, 0, 0), (0, 0, 142)


def split_of(name: str, areas: dict[int, int], names: tuple[str, str] = ("a", "b")) -> SplitCheck:
    """A split of one image of 10,000 pixels with one segment per class, a thing and stuff."""
    categories = (Category(names[0], True, RED, 1), Category(names[1], False, BLUE, 2))
    statistics = Statistics(DatasetInfo("toy", categories))
    segments = [(Segment(1 + category, category), area) for category, area in areas.items()]
    statistics.add(ImageReport("1", [], size=(100, 100), segments=segments, pixels=10_000))
    return SplitCheck(name, None, statistics)


def bar_length(chart: np.ndarray, color: tuple[int, int, int]) -> int:
    """Pixels of the first panel's bar of that color."""
    columns = np.flatnonzero((chart[:, : chart.shape[1] // 2] == color).all(axis=2).any(axis=0))
    return columns.max() - columns.min() + 1


def test_bars_are_logarithmic() -> None:
    """1 % and 10 % on an axis that begins at 0.1 %: the second bar is twice as long."""
    chart = draw_statistics([split_of("train", {0: 100, 1: 1000})])
    assert (chart.dtype, chart.shape[2]) == (np.uint8, 3)
    assert bar_length(chart, BLUE) == pytest.approx(2 * bar_length(chart, RED), abs=4)


def test_a_class_that_never_occurs_has_no_row() -> None:
    one = draw_statistics([split_of("train", {0: 100})])
    both = draw_statistics([split_of("train", {0: 100, 1: 100})])
    assert len(one) < len(both)
    assert not (one == BLUE).all(axis=2).any()


def test_the_second_split_has_a_paler_bar() -> None:
    splits = [split_of("train", {0: 100}), split_of("val", {0: 100})]
    pale = np.round(0.55 * np.array(RED) + 0.45 * 255)
    near = (np.abs(draw_statistics(splits) - pale) <= 1).all(axis=2)
    assert near.sum() > 100
    assert not (np.abs(draw_statistics(splits[:1]) - pale) <= 1).all(axis=2).sum() > 100


@pytest.mark.parametrize("name", ["$a$", "汽车", "two\nlines", "x" * 300])
def test_any_name_is_drawn_without_a_warning(name: str) -> None:
    assert draw_statistics([split_of("train", {0: 1, 1: 9999}, (name, "b"))]).size


def test_nothing_is_drawn_without_annotations() -> None:
    check = split_of("train", {})
    check.statistics.annotated = 0
    assert draw_statistics([check]) is None


@pytest.mark.parametrize(
    ("value", "text"), [(9.0812, "9.08%"), (100.0, "100%"), (0.7, "0.7%"), (1.39e-5, "0.0000139%")]
)
def test_percentages_have_three_digits(value: float, text: str) -> None:
    assert _percent(value) == text
