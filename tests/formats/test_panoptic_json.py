"""Entries of panoptic JSONs as other programs write them."""

from __future__ import annotations

import math
from typing import Any

import pytest

from panoptic_deeplab.errors import DataError
from panoptic_deeplab.formats.panoptic_json import (
    PanopticEntry,
    flag,
    number,
    optional_number,
    whole_number,
)


@pytest.mark.parametrize("value", [7, 7.0, "7", " 7 ", "7.0"])
def test_a_whole_number(value: Any) -> None:
    assert whole_number({"id": value}, "id") == 7


@pytest.mark.parametrize(
    "value", [7.5, "7.5", "seven", "", "0x7", "1e3", True, None, [7], math.nan, math.inf, 10**30]
)
def test_no_whole_number(value: Any) -> None:
    with pytest.raises(DataError, match="expected an entry with a whole number 'id', got"):
        whole_number({"id": value}, "id")


def test_a_number_may_have_a_fraction_or_be_absent() -> None:
    assert number({"area": "256.5"}, "area") == 256.5
    assert optional_number({"area": None}, "area") is None
    assert optional_number({}, "area") is None
    with pytest.raises(DataError, match="a number 'area'"):
        optional_number({"area": "large"}, "area")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        *((value, False) for value in (0, 0.0, False, "0", "False")),
        *((value, True) for value in (1, 1.0, True, "1", "true")),
        (None, None),
    ],
)
def test_a_flag(value: Any, expected: bool | None) -> None:
    assert flag({"iscrowd": value}, "iscrowd") is expected


@pytest.mark.parametrize("value", [2, -1, 0.5, "", "yes", [], {}])
def test_no_flag(value: Any) -> None:
    with pytest.raises(DataError, match="expected an entry with 0 or 1 as 'iscrowd', got"):
        flag({"iscrowd": value}, "iscrowd")


@pytest.mark.parametrize(("image_id", "text"), [(12, "12"), (12.0, "12"), ("12", "12"), ("a", "a")])
def test_ids_of_images_are_text(image_id: Any, text: str) -> None:
    item = {"image_id": image_id, "file_name": "a.png", "segments_info": []}
    assert PanopticEntry.of(item, "a.json").image_id == text


@pytest.mark.parametrize("image_id", [None, [12], True])
def test_no_id_of_an_image(image_id: Any) -> None:
    item = {"image_id": image_id, "file_name": "a.png", "segments_info": []}
    with pytest.raises(DataError, match=r"a\.json: expected an annotation"):
        PanopticEntry.of(item, "a.json")
