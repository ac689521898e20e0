"""How predictions of an exported file and of its model are compared."""

from __future__ import annotations

import pytest

from panoptic_deeplab.structures import Prediction


def assert_equal(found: Prediction, expected: Prediction, tolerance: float = 1e-4) -> None:
    assert (found.ids != expected.ids).mean() <= tolerance
    assert (found.labels != expected.labels).mean() <= tolerance
    assert len(found.segments) == len(expected.segments)
    for mine, theirs in zip(found.segments, expected.segments, strict=True):
        assert (mine.id, mine.category, mine.is_thing) == (
            theirs.id,
            theirs.category,
            theirs.is_thing,
        )
        assert abs(mine.area - theirs.area) <= tolerance * found.ids.size
        assert mine.score == pytest.approx(
            theirs.score, abs=5e-3
        )  # what the sparse form may deviate
