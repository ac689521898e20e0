"""Files appear whole or not at all, and no name leads out of its folder."""

from __future__ import annotations

import math
import stat
from pathlib import Path

import pytest

from panoptic_deeplab.errors import DataError
from panoptic_deeplab.files import (
    as_json,
    files_below,
    inside,
    read_json,
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


@pytest.mark.parametrize("name", ["../b", "/etc/passwd", "a/../../b", "link/b", "x\0y"])
def test_a_name_that_leads_outside_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "link").symlink_to(tmp_path)
    with pytest.raises(DataError, match=r"a\.json: file name .* points outside") as caught:
        inside(tmp_path / "root", name, tmp_path / "root", "a.json")
    assert caught.value.kind == "outside folder"


def test_links_that_stay_inside_are_followed_once(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.png").touch()
    (tmp_path / "b").symlink_to("a")
    (tmp_path / "a" / "ring").symlink_to("..")
    assert files_below(tmp_path, ".png") == [tmp_path / "a" / "x.png"]
    assert inside(tmp_path, "b/x.png", tmp_path, "a.json") == tmp_path / "b" / "x.png"
    assert files_below(tmp_path / "none") == []


def test_json_has_null_for_what_is_no_number(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"pq": math.nan, "all": (1.5, math.inf)})
    assert read_json(tmp_path / "a.json") == {"pq": None, "all": [1.5, None]}
    assert as_json([math.nan]) == "[null]"
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(DataError, match=r"a\.json: cannot be read as JSON"):
        read_json(tmp_path / "a.json")


def test_a_file_in_the_place_of_a_folder_is_told(tmp_path: Path) -> None:
    assert usable_folder(tmp_path / "a" / "b").is_dir()
    (tmp_path / "c").touch()
    with pytest.raises(DataError, match="expected a folder to write to, but a file stands there"):
        usable_folder(tmp_path / "c")
    with pytest.raises(DataError, match=r"the folder cannot be made \(Not a directory\)"):
        usable_folder(tmp_path / "c" / "d")
