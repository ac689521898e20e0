"""The nouns check what they are made of."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from panoptic_deeplab.errors import DataError
from panoptic_deeplab.structures import Category, DatasetInfo, Frame, PanopticMap, Segment

ROAD = Category("road", False, (1, 2, 3), 7)
CAR = Category("car", True, (4, 5, 6), 26)
INFO = DatasetInfo("two", (ROAD, CAR))


def test_classes_are_found_by_name_id_and_kind() -> None:
    assert INFO.index_of_name == {"road": 0, "car": 1}
    assert INFO.index_of_official_id == {7: 0, 26: 1}
    assert (INFO.num_classes, INFO.thing_ids, INFO.stuff_ids) == (2, (1,), (0,))
    assert INFO.colors.tolist() == [[1, 2, 3], [4, 5, 6]]
    assert DatasetInfo.from_dict(INFO.to_dict()) == INFO


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("none", ()), "'none' has no category"),
        (("two", (ROAD, CAR), 1), "ignore_index 1 of 'two' is also a class index"),
        (("two", (ROAD, ROAD)), "categories of 'two' share the name 'road'"),
        (
            ("two", (ROAD, Category("car", True, (0, 0, 0), 7))),
            "categories of 'two' share the official_id 7",
        ),
    ],
)
def test_classes_that_contradict_each_other_are_refused(arguments: tuple, message: str) -> None:
    with pytest.raises(DataError, match=message):
        DatasetInfo(*arguments)


@pytest.mark.parametrize(
    "change", [{"color": [1, 2]}, {"color": [0, 0, 256]}, {"id": "x"}, {"name": None}], ids=str
)
def test_a_broken_description_names_its_file(change: dict[str, Any]) -> None:
    content = INFO.to_dict()
    for key, value in change.items():
        if value is None:
            del content["categories"][0][key]
        else:
            content["categories"][0][key] = value
    with pytest.raises(DataError, match=r"info\.json: expected \{name, ignore_index, categories"):
        DatasetInfo.from_dict(content, "info.json")


def test_a_map_of_segments_has_their_classes() -> None:
    ids = np.array([[0, 3], [70_000, 9]], np.int32)
    segments = [Segment(3, 0), Segment(70_000, 1), Segment(80_000, 1)]
    semantic = PanopticMap(ids, segments).semantic(255)
    assert (semantic.tolist(), semantic.dtype) == ([[255, 0], [1, 255]], np.uint8)
    assert PanopticMap(ids, [Segment(3, 300)]).semantic(1000).dtype == np.int32


def test_the_frame_of_an_untouched_image_is_the_image() -> None:
    frame = Frame.whole(4, 6)
    assert (frame.original_size, frame.size, frame.valid_box) == ((4, 6), (4, 6), (0, 0, 4, 6))


def test_a_name_of_half_a_character_is_refused() -> None:
    """Some JSON holds one, and no list of results could."""
    with pytest.raises(DataError, match=r"category 'car\\ud83d' of 'x' is no text; rename it"):
        DatasetInfo("x", (Category("car\ud83d", True, (0, 0, 0), 1),))
