"""Files appear whole or not at all."""

from __future__ import annotations

import json
import math
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from panoptic_deeplab.errors import DataError
from panoptic_deeplab.files import (
    as_json,
    clear_remains,
    files_below,
    read_json,
    remove_folder,
    replacing,
    replacing_folder,
    usable_folder,
    write_json,
)


def contents(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_file_is_replaced_when_its_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.txt"
    with replacing(path) as temporary:
        temporary.write_text("old")
        assert (temporary.suffix, path.exists()) == (".txt", False)
    with pytest.raises(ZeroDivisionError), replacing(path) as temporary:
        temporary.write_text(str(1 / 0))
    assert contents(tmp_path) == {"deep/a.txt": "old"}
    assert stat.S_IMODE(path.stat().st_mode) & 0o600 == 0o600


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    for text in ("old", "new"):
        with replacing_folder(tmp_path / "a") as temporary:
            (temporary / f"{text}.txt").write_text(text)
    with pytest.raises(ZeroDivisionError), replacing_folder(tmp_path / "a") as temporary:
        (temporary / "half.txt").write_text(str(1 / 0))
    assert contents(tmp_path) == {"a/new.txt": "new"}


def test_what_else_a_folder_holds_stays_in_it(tmp_path: Path) -> None:
    (tmp_path / "a" / "mine").mkdir(parents=True)
    for name in ("own.txt", "notes.txt", "mine/b.txt"):
        (tmp_path / "a" / name).write_text("old")
    with replacing_folder(tmp_path / "a", own={"own.txt", "other.txt"}) as temporary:
        (temporary / "other.txt").write_text("new")
    assert contents(tmp_path / "a") == {
        "other.txt": "new",
        "notes.txt": "old",
        "mine/b.txt": "old",
    }


def test_no_link_is_replaced_and_no_file_by_a_folder(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "a").symlink_to("store")
    with replacing_folder(tmp_path / "a") as temporary:
        (temporary / "x.txt").write_text("new")
    (tmp_path / "y.txt").symlink_to("store/x.txt")
    with replacing(tmp_path / "y.txt") as temporary:
        temporary.write_text("newer")
    assert (tmp_path / "a").is_symlink()
    assert (tmp_path / "y.txt").is_symlink()
    assert contents(tmp_path / "store") == {"x.txt": "newer"}
    told = pytest.raises(DataError, match="a file stands there")
    with told, replacing_folder(tmp_path / "store" / "x.txt"):
        pass


@pytest.mark.parametrize("can_exchange", [True, False])
def test_replacing_a_folder_never_leaves_a_moment_without_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, can_exchange: bool
) -> None:
    """Killed at any call of the system, the old or the new folder is there after the next start."""
    if not can_exchange:
        monkeypatch.setattr("panoptic_deeplab.files._exchange", lambda *_: False)
    for killed_at in range(1, 4):
        folder = tmp_path / str(killed_at)
        (folder / "a").mkdir(parents=True)
        (folder / "a" / "x.txt").write_text("old")
        calls = iter(range(1, 10))

        def killing(call: Callable, calls: Iterator[int] = calls, at: int = killed_at) -> Callable:
            def called(*arguments: Any, **options: Any) -> Any:
                if next(calls) == at:
                    raise SystemExit  # as a kill: nothing tidies up after it
                return call(*arguments, **options)

            return called

        with monkeypatch.context() as patch:
            patch.setattr("os.rename", killing(os.rename))
            patch.setattr("shutil.rmtree", killing(shutil.rmtree))
            with suppress(SystemExit), replacing_folder(folder / "a") as temporary:
                (temporary / "x.txt").write_text("new")
        clear_remains(folder)
        assert contents(folder) in ({"a/x.txt": "old"}, {"a/x.txt": "new"})


def test_remains_of_killed_processes_are_cleared_by_name(tmp_path: Path) -> None:
    folders = [".part.a.abcd_123", ".part.b.abcd_123", ".best_model.backup", ".old.a", "a"]
    for name in folders:
        (tmp_path / name).mkdir()
    for name in (".part.a.abcd_123.json", ".part.a.jpg", ".gitignore"):
        (tmp_path / name).touch()
    clear_remains(tmp_path, "a")
    kept = [".best_model.backup", ".gitignore", ".part.a.jpg", ".part.b.abcd_123", "a"]
    assert sorted(path.name for path in tmp_path.iterdir()) == kept
    clear_remains(tmp_path / "none")


def test_a_folder_is_removed_at_once(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.txt").touch()
    remove_folder(tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


def test_links_to_folders_are_followed_once(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.png").touch()
    (tmp_path / "b").symlink_to("a")
    (tmp_path / "a" / "ring").symlink_to("..")
    assert files_below(tmp_path, ".png") == [tmp_path / "a" / "x.png"]
    assert files_below(tmp_path / "none") == []


def test_suffixes_count_in_any_case_and_what_macos_adds_does_not(tmp_path: Path) -> None:
    for name in ("b.PNG", "a.png", "._a.png", "c.jpg"):
        (tmp_path / name).touch()
    assert [path.name for path in files_below(tmp_path, ".png")] == ["a.png", "b.PNG"]


def test_json_has_null_for_what_is_no_number(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"pq": math.nan, "all": (1.5, math.inf)})
    assert read_json(tmp_path / "a.json") == {"pq": None, "all": [1.5, None]}
    assert as_json([math.nan]) == "[null]"
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(DataError, match=r"a\.json: cannot be read as JSON"):
        read_json(tmp_path / "a.json")


def test_json_is_utf8_whatever_the_name_of_a_file(tmp_path: Path) -> None:
    name = os.fsdecode(b"b\xff\xe8\xa1\x97.png")
    write_json(tmp_path / "a.json", {name: [name, "half of a pair: \ud83d"]})
    text = (tmp_path / "a.json").read_text("ascii")
    expected = {"b%FF街.png": ["b%FF街.png", "half of a pair: \N{REPLACEMENT CHARACTER}"]}
    assert json.loads(text) == expected


def test_a_file_in_the_place_of_a_folder_is_told(tmp_path: Path) -> None:
    assert usable_folder(tmp_path / "a" / "b").is_dir()
    (tmp_path / "c").touch()
    with pytest.raises(DataError, match="expected a folder to write to, but a file stands there"):
        usable_folder(tmp_path / "c")
    with pytest.raises(DataError, match=r"the folder cannot be made \(Not a directory\)"):
        usable_folder(tmp_path / "c" / "d")


@pytest.mark.parametrize("path", ["s3://bucket/results", Path("gs://bucket"), "file:///tmp/a"])
def test_an_address_is_no_folder(path: str | Path) -> None:
    with pytest.raises(DataError, match=r"^(s3|gs|file):/.*expected a folder of this machine"):
        usable_folder(path)


@pytest.mark.parametrize("make", [replacing, replacing_folder, usable_folder])
def test_a_name_that_no_file_can_have(tmp_path: Path, make: Callable[..., Any]) -> None:
    with pytest.raises(DataError, match=r"zero\\x00byte: no file can have this name"):
        make(tmp_path / "zero\0byte").__enter__()
