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


def test_chinese_letters_take_two_columns_and_accents_none() -> None:
    rows = [["class", "PQ"], ["\u6c7d\u8f66", "7.25"], ["e\u0301te\u0301", "50.00"]]
    assert align(rows).splitlines() == [
        "class     PQ",
        "------------",
        "\u6c7d\u8f66    7.25",
        "e\u0301te\u0301    50.00",
    ]
