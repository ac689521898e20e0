"""Tables as plain text, compared character by character."""

from __future__ import annotations

from panoptic_deeplab.text_table import align


def test_numbers_stand_right_below_their_heading() -> None:
    rows = [["class", "PQ"], ["all", "50.00"], ["traffic light", "7.25"]]
    assert align(rows, rules=(1, 2)).splitlines() == [
        "class             PQ",
        "--------------------",
        "all            50.00",
        "--------------------",
        "traffic light   7.25",
    ]


def test_an_empty_last_column_leaves_no_blanks() -> None:
    assert align([["a", ""], ["b", ""]]) == "a\n---\nb"
