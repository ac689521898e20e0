"""The table takes any class name, and refuses what is no table in an earlier journal."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from panoptic_deeplab.errors import DataError
from panoptic_deeplab.results.journal import Record
from panoptic_deeplab.results.table import Table
from panoptic_deeplab.structures import Category, DatasetInfo

INFO = DatasetInfo("gray", (Category("wall", False, (90, 90, 90), 1),))


def test_half_a_character_does_not_lose_the_table(tmp_path: Path) -> None:
    """A JSON can hold one, such as in the name of a class."""
    records = {
        "a": Record((), [["a", "1", "half \ud83d"]]),
        "街": Record((), [["街", "1", "wall"]]),
    }
    Table(tmp_path, INFO).write_lists(records)
    with (tmp_path / "segments.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[1:] == [["a", "1", "half \N{REPLACEMENT CHARACTER}"], ["街", "1", "wall"]]


@pytest.mark.parametrize("entry", [5, "text", [5], ["text"], {"a": []}])
def test_what_is_no_table_in_a_journal_is_told(tmp_path: Path, entry: object) -> None:
    with pytest.raises(DataError, match=r"segments\.csv: the journal beside it is damaged"):
        Table(tmp_path, INFO).write_lists({"a": Record((), entry)})
    assert not (tmp_path / "segments.csv").exists()
