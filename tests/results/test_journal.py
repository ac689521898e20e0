"""The journal of a folder of results: what is known after any end, and what is no journal."""

from __future__ import annotations

import json
import resource
from pathlib import Path

import pytest

from panoptic_deeplab.errors import DataError
from panoptic_deeplab.results.journal import (
    JournalAppender,
    LoadedRecords,
    Record,
    known_files,
    read_journal,
    write_journal,
)

HEAD = {"journal": "panoptic_deeplab results", "version": 1}
FORM = {"form": "coco", "categories": [{"id": 7, "name": "car"}]}
BEFORE = {"form": "coco", "key": "a", "files": ["coco/a.png", "coco/b.png"]}
AFTER = BEFORE | {"entry": {"id": 1}}


def as_text(*lines: object) -> str:
    return "".join(json.dumps(line) + "\n" for line in lines)


def read_entry(folder: Path) -> object:
    records = read_journal(folder).records.get("coco", {})
    return LoadedRecords(records)["a"].entry if records else None


def test_a_line_supersedes_the_earlier_ones_and_files_stay_known(tmp_path: Path) -> None:
    journal = JournalAppender(tmp_path)
    journal.append([FORM, BEFORE])
    assert read_journal(tmp_path).record("coco", "a") == Record(("coco/a.png", "coco/b.png"))
    journal.append([AFTER])
    assert read_entry(tmp_path) == {"id": 1}
    journal.append([BEFORE | {"files": ["coco/c.png"]}])  # and then the process is killed
    known = Record(("coco/c.png", "coco/a.png", "coco/b.png"))
    assert read_journal(tmp_path).record("coco", "a") == known
    journal.append([BEFORE | {"files": ["coco/c.png"], "entry": None}])  # a form without lists
    assert read_journal(tmp_path).record("coco", "a") == Record(("coco/c.png",))
    assert known_files(tmp_path) == [tmp_path / "coco/c.png"]
    assert read_journal(tmp_path).forms == {"coco": FORM["categories"]}


def test_the_written_journal_says_the_same_in_fewer_lines(tmp_path: Path) -> None:
    for rank in (0, 1):  # two processes share the work
        JournalAppender(tmp_path, rank).append([FORM, BEFORE, AFTER | {"key": f"of {rank}"}])
    contents = read_journal(tmp_path)
    assert list(contents.records["coco"]) == ["a", "of 0", "of 1"]
    records = dict(LoadedRecords(contents.records["coco"]))
    write_journal(tmp_path, contents, is_start=True)
    assert [path.name for path in tmp_path.iterdir()] == ["results.jsonl"]
    assert len((tmp_path / "results.jsonl").read_text().splitlines()) == 6
    again = read_journal(tmp_path)
    assert again.forms == contents.forms
    assert dict(LoadedRecords(again.records["coco"])) == records
    assert again.is_unfinished
    write_journal(tmp_path, again)
    assert not read_journal(tmp_path).is_unfinished


def test_a_line_that_breaks_off_is_left_out(tmp_path: Path) -> None:
    text = as_text(HEAD, FORM, AFTER, BEFORE)
    for length in range(len(as_text(HEAD)), len(text)):
        (tmp_path / "results.jsonl").write_text(text[:length])
        is_whole = length >= len(as_text(HEAD, FORM, AFTER))
        assert read_entry(tmp_path) == (AFTER["entry"] if is_whole else None)
        assert read_journal(tmp_path).is_unfinished == (text[length - 1] != "\n")


@pytest.mark.parametrize("room", [0, 1, 40])
def test_a_full_disk_leaves_whole_lines(room: int, tmp_path: Path) -> None:
    journal = JournalAppender(tmp_path)
    journal.append([FORM, AFTER])
    text = (tmp_path / "results.jsonl").read_text()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(text) + room, limits[1]))
    try:
        with pytest.raises(OSError, match=r"No space left|File too large"):
            journal.append([BEFORE])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (tmp_path / "results.jsonl").read_text() == text
    journal.append([BEFORE])
    assert read_journal(tmp_path).record("coco", "a").entry is None


def test_entries_stay_as_they_were_when_another_journal_takes_the_place(tmp_path: Path) -> None:
    odd = {"a text": ', "entry": {}}', "deep": [{"entry": 1}], "ü": None}
    JournalAppender(tmp_path).append([FORM, AFTER | {"entry": odd}])
    contents = read_journal(tmp_path)
    for _ in range(2):
        write_journal(tmp_path, contents)
        JournalAppender(tmp_path).append([AFTER])
        assert LoadedRecords(contents.records["coco"])["a"].entry == odd


def test_a_damaged_entry_is_told_when_it_is_read(tmp_path: Path) -> None:
    text = as_text(HEAD, AFTER).replace('{"id": 1}', '{"id" 1}')
    (tmp_path / "results.jsonl").write_text(text)
    with pytest.raises(DataError, match=r"results\.jsonl: an entry is damaged .*; move"):
        read_entry(tmp_path)


NO_JOURNALS = {
    "a user's own file": ('{"image": "a.jpg"}\n', "line 1 is not the journal of a prediction"),
    "text": ("results\n", "line 1 is not the journal"),
    "a later version": (as_text(HEAD | {"version": 2}), "line 1 is not the journal"),
    "a broken line": (as_text(HEAD) + '{"form": "co\n' + as_text(FORM), "line 2 is damaged"),
    "no object": (as_text(HEAD, [1]), "line 2 is damaged"),
    "a line without files": (as_text(HEAD, {"form": "coco", "key": "a"}), "line 2 is damaged"),
    "files that are none": (as_text(HEAD, BEFORE | {"files": [1]}), "line 2 is damaged"),
    "a file elsewhere": (
        as_text(HEAD, BEFORE | {"files": ["/etc/passwd"]}),
        "'/etc/passwd' is no file in this folder",
    ),
    "a file above": (
        as_text(HEAD, BEFORE | {"files": ["coco/../../a.png"]}),
        "is no file in this folder",
    ),
}


@pytest.mark.parametrize("kind", NO_JOURNALS)
@pytest.mark.parametrize("name", ["results.jsonl", "results.1.jsonl"])
def test_what_is_no_journal_is_refused_and_kept(kind: str, name: str, tmp_path: Path) -> None:
    text, message = NO_JOURNALS[kind]
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=message) as error:
        read_journal(tmp_path)
    assert f"{name}: line" in str(error.value)
    assert "choose another --save_dir" in str(error.value)
    assert (tmp_path / name).read_text() == text
