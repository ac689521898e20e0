"""How far an exported file agrees with its model, and what is more than rounding."""

from __future__ import annotations

from pathlib import Path

import pytest

from panoptic_deeplab.export.parity import Agreement
from panoptic_deeplab.export.plan import ExportPlan
from panoptic_deeplab.export.trial import judge

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
