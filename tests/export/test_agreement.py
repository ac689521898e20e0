"""How far an exported file agrees with its model, and what is more than rounding."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from panoptic_deeplab.export.parity import Agreement, deviations, fraction_of_others
from panoptic_deeplab.export.plan import ExportPlan
from panoptic_deeplab.export.trial import judge


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


JUDGED = {
    "rounding": (Agreement({"center": 9e-4}, 9e-5, 9e-5, 0.0), True, []),
    "another network": (Agreement({"center": 2e-3}, 0.0, 0.0, 0.0), True, ["center differs"]),
    "NaN": (Agreement({"center": float("nan")}), True, ["center differs by nan"]),
    "another grouping": (Agreement({"center": 0.0}, 0.0, 0.0, 2e-4), True, ["its grouping gives"]),
    "weights of noise": (Agreement({"center": 9e-4}, 0.5, 0.5, 0.0), True, []),
    "inside unknown": (Agreement({}, 2e-4, 0.0, None), True, ["0.02 % of the pixels"]),
    "other classes": (Agreement({}, 0.0, 2e-4, None), True, ["0.02 % another class"]),
    "8 bits": (Agreement({"center": 0.3}, 0.2, 0.2, 0.0), False, []),
    "8 bits, another grouping": (Agreement({}, 0.2, 0.2, 2e-4), False, ["its grouping gives"]),
}


@pytest.mark.parametrize("name", JUDGED)
def test_what_is_more_than_rounding(name: str) -> None:
    agreement, exact, expected = JUDGED[name]
    found = agreement.reasons(exact=exact)
    assert len(found) == len(expected)
    assert all(part in reason for part, reason in zip(expected, found, strict=True))


def test_rounding_that_decides_is_a_warning(capsys: pytest.CaptureFixture) -> None:
    judge(Agreement({"center": 1e-4}, 2e-4, 0.0, 0.0), Path("out"), ExportPlan())
    assert "warning: the network and the grouping each agree" in capsys.readouterr().err
    judge(Agreement({"center": 1e-4}, 1e-5, 0.0, 0.0), Path("out"), ExportPlan())
    assert capsys.readouterr().err == ""
