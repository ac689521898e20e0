"""Runs, values and measures of id maps that can be checked by eye."""

from __future__ import annotations

import numpy as np
import pytest

from panoptic_deeplab.id_maps import Runs, distinct_ids, measure_ids, run_starts


@pytest.mark.parametrize("size", [(0, 4), (4, 0), (1, 1), (3, 1), (1, 3)])
def test_a_row_always_begins_a_run(size: tuple[int, int]) -> None:
    height, width = size
    starts = range(0, height * width, width or 1)
    assert run_starts(np.zeros(size, np.int32)).tolist() == list(starts)


def test_runs_end_where_any_of_the_maps_changes() -> None:
    first, second = np.array([[1, 1, 2, 2]]), np.array([[5, 5, 5, 6]])
    assert run_starts(first, second).tolist() == [0, 2, 3]


def test_runs_are_spread_over_their_pixels() -> None:
    ids = np.array([[7, 7, 0], [7, 5, 5]])
    runs = Runs.of(ids)
    assert (runs.rows.tolist(), runs.columns.tolist()) == ([0, 0, 1, 1], [0, 2, 0, 1])
    np.testing.assert_array_equal(runs.spread(runs.values), ids)


def test_ids_measured_by_eye() -> None:
    measures = measure_ids(np.array([[5, 5, 0], [5, 9, 9], [5, 9, 9]]))
    assert measures.ids.tolist() == [0, 5, 9]
    assert measures.areas.tolist() == [1, 4, 4]
    assert measures.boxes.tolist() == [[0, 2, 1, 3], [0, 0, 3, 2], [1, 1, 3, 3]]
    assert measures.first.tolist() == [[0, 2], [0, 0], [1, 1]]


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64])
def test_measures_are_those_of_masks(dtype: type) -> None:
    ids = np.random.default_rng(0).integers(0, 6, (9, 14)).astype(dtype)
    measures = measure_ids(ids)
    assert measures.ids.tolist() == distinct_ids(ids) == np.unique(ids).tolist()
    for value, area, box, first in zip(
        measures.ids, measures.areas, measures.boxes, measures.first, strict=True
    ):
        y, x = np.nonzero(ids == value)
        assert area == len(y)
        assert box.tolist() == [y.min(), x.min(), y.max() + 1, x.max() + 1]
        assert first.tolist() == [y[0], x[0]]


def test_an_empty_map_has_no_ids() -> None:
    assert measure_ids(np.zeros((0, 4), np.int32)).ids.size == 0
