"""Differences of ids and of outputs."""

from __future__ import annotations

import numpy as np

from panoptic_deeplab.runtimes.differences import deviations, fraction_of_others


def test_ids_are_equal_up_to_a_renaming() -> None:
    first = np.array([[0, 1, 1, 2]])
    assert fraction_of_others(first, np.array([[0, 2, 2, 1]])) == 0
    assert fraction_of_others(first, np.array([[0, 2, 2, 2]])) == 0.25
    assert fraction_of_others(first, np.array([[5, 1, 1, 2]])) == 0.25  # void is void


def test_deviations_are_of_the_highest_value() -> None:
    expected = {"center": np.array([0.0, -4.0])}
    assert deviations(expected, {"center": np.array([0.002, -4.0])}) == {"center": 0.0005}
    assert np.isnan(deviations(expected, {"center": np.array([np.nan, 0])})["center"])
    assert deviations(expected, {"center": np.zeros(3)}) == {"center": float("inf")}
