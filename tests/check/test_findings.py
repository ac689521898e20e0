"""Kinds of faults, and findings beyond the limit."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from panoptic_deeplab.check.findings import ERROR, KINDS, Finding, Findings

PACKAGE = Path(__file__).parents[2] / "panoptic_deeplab"


def test_every_kind_that_a_reader_raises_has_a_fix() -> None:
    used = {
        kind
        for path in PACKAGE.rglob("*.py")
        for kind in re.findall(r'DataError\([^)]*?kind="([^"]+)"', path.read_text("utf-8"), re.S)
    }
    assert {"class table", "unknown category", "overlap"} <= used <= KINDS.keys()


def test_findings_beyond_the_limit_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("panoptic_deeplab.check.findings.MAX_KEPT", 2)
    findings = Findings()
    findings.extend(Finding("wrong area", "val", f"number {n}") for n in range(5))
    assert findings.total(ERROR) == 5
    assert [f["cause"] for f in findings.to_dict()["findings"]] == ["number 0", "number 1"]
