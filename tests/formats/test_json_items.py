"""Large JSON is read one item at a time, whatever its order, and broken JSON is told."""

from __future__ import annotations

import json
import tracemalloc

import pytest

from panoptic_deeplab.errors import DataError
from panoptic_deeplab.formats import json_items
from panoptic_deeplab.formats.json_items import iterate_items, write_items


@pytest.fixture(params=[1, 7, 1 << 20], ids=lambda size: f"chunks of {size}")
def chunk(request, monkeypatch):
    """However the text is cut, the values are the same."""
    monkeypatch.setattr(json_items, "_CHUNK", request.param)


def test_the_items_come_in_the_order_of_the_file(tmp_path, chunk):
    path = tmp_path / "a.json"
    path.write_text('{"images": [1, 2.5e3], "info": {"a": [4]}, "other": [9], "annotations" :[3] }')
    expected = [("images", 1), ("images", 2500.0), ("annotations", 3)]
    assert list(iterate_items(path, "images", "annotations")) == expected


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("indent", [None, 2])
def test_any_item_and_encoding_that_json_has(tmp_path, chunk, encoding, indent):
    items = ['Straße "x" \\ \n \U0001f600', {}, [], {"a": [1, [2, {"b": None}]]}, -1.5, 0, True]
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"b": [], "a": items}, indent=indent, ensure_ascii=False), encoding)
    assert [item for _, item in iterate_items(path, "a", "b")] == items


def test_a_file_that_is_a_list_itself(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("[1, 2]")
    assert list(iterate_items(path, "frames", list_as="frames")) == [("frames", 1), ("frames", 2)]
    path.write_text("[]")
    assert list(iterate_items(path, "frames", list_as="frames")) == []


@pytest.mark.parametrize("items", [[], [1], [{"a": "\u00df"}, None, [2.5]]])
def test_written_items_come_back(tmp_path, items):
    path = tmp_path / "a.json"
    write_items(path, iter(items))
    assert json.loads(path.read_text()) == items


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cannot be read as JSON (it is empty"),
        ("[1]", "expected a JSON object with annotations"),
        ("3", "expected a JSON object"),
        ("{}", "expected a list under 'annotations'"),
        ('{"annotations": 3}', "expected a list under 'annotations', got 3"),
        ('{"annotations": [1, 2', "cannot be read as JSON"),
        ('{"annotations": [1 2]}', "expected ',' or ']' at character 19, got '2'"),
        ('{"annotations": [{"a": tru}]}', "Expecting value at character 23"),
        ('{"annotations": ["abc]}', "Unterminated string"),
        ('{"annotations": [1]} x', "expected the end"),
        ("{annotations: [1]}", "expected '\"'"),
        ('{"annotations": [' + "[" * 100_000, "cannot be read as JSON"),
        ('{"annotations": ["\ud800"]}', "cannot be read as JSON"),
    ],
)
def test_what_is_no_such_json_is_told(tmp_path, text, message):
    path = tmp_path / "a.json"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(DataError, match=r"a\.json") as error:
        list(iterate_items(path, "annotations"))
    assert message in str(error.value)


def test_an_item_meant_to_fill_the_memory_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(json_items, "_CHUNK", 64)
    monkeypatch.setattr(json_items, "MAX_ITEM_LENGTH", 1000)
    path = tmp_path / "a.json"
    path.write_text('{"annotations": ["' + "x" * 5000 + '"]}')
    with pytest.raises(DataError, match="longer than 1000 characters"):
        list(iterate_items(path, "annotations"))


def test_the_memory_does_not_grow_with_the_file(tmp_path):
    path = tmp_path / "a.json"
    item = json.dumps({"id": 1, "text": "x" * 400})
    path.write_text('{"a": [' + ",".join([item] * 30_000) + "]}")  # 12 MB
    tracemalloc.start()
    count = sum(1 for _ in iterate_items(path, "a"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 30_000
    assert peak < 8 << 20 < path.stat().st_size
