"""Names of other systems are understood; none leads out of its folder by itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from panoptic_deeplab.errors import DataError
from panoptic_deeplab.file_names import inside, relative_name

COMPOSED, DECOMPOSED = "caf\N{LATIN SMALL LETTER E WITH ACUTE}", "cafe\N{COMBINING ACUTE ACCENT}"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "images" / "val"
    folder.mkdir(parents=True)
    return folder


def with_file(root: Path, name: str) -> Path:
    path = root / name
    path.parent.mkdir(exist_ok=True)
    path.touch()
    return path


@pytest.mark.parametrize(
    ("name", "on_disk"),
    [
        ("a.jpg", "a.jpg"),
        ("a.jpg", "a.JPG"),
        ("a.PNG", "a.png"),
        ("day0\\a.jpg", "day0/a.jpg"),
        ("day0\\a.jpg", "day0/a.JPG"),
        ("day0/../a.jpg", "a.jpg"),
        ("./a.jpg", "a.jpg"),
        (f"{COMPOSED}.jpg", f"{DECOMPOSED}.jpg"),
        (f"{DECOMPOSED}.jpg", f"{COMPOSED}.JPG"),
        ("my%20cart.jpg", "my cart.jpg"),
        ("my%20cart.jpg", "my%20cart.jpg"),
        ("val/a.jpg", "a.jpg"),
        ("images\\val\\a.jpg", "a.jpg"),
        ("back\\slash.jpg", "back\\slash.jpg"),
    ],
)
def test_a_name_is_understood_as_it_was_meant(root: Path, name: str, on_disk: str) -> None:
    path = with_file(root, on_disk)
    assert inside(root, name, root, "a.json") == path


def test_the_name_as_it_stands_comes_first(root: Path) -> None:
    paths = {name: with_file(root, name) for name in ("a.jpg", "a.JPG", "val/a.jpg")}
    assert {name: inside(root, name, root, "a.json") for name in paths} == paths


def test_an_absolute_name_may_lie_in_the_folder_itself_or_behind_its_link(root: Path) -> None:
    path = with_file(root, "a.jpg")
    assert inside(root, str(path), root, "a.json") == path
    linked = root.with_name("linked")
    linked.symlink_to(root)
    assert inside(linked, str(path), linked, "a.json") == linked / "a.jpg"
    assert inside(linked, str(linked / "a.jpg"), linked, "a.json") == linked / "a.jpg"


def test_links_into_a_store_are_followed(root: Path, tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "4f2c").touch()
    (root / "a.jpg").symlink_to(tmp_path / "store" / "4f2c")
    (root / "day0").symlink_to(tmp_path / "store")
    assert inside(root, "a.jpg", root, "a.json") == root / "a.jpg"
    assert inside(root, "day0/4f2c", root, "a.json") == root / "day0" / "4f2c"


def test_a_name_may_go_up_within_the_root_only(root: Path) -> None:
    path = with_file(root, "masks/a.png")
    assert inside(root / "lists", "../masks/a.png", root, "a.txt") == path
    with pytest.raises(DataError, match="points outside"):
        inside(root / "lists", "../../a.png", root, "a.txt")


OUTSIDE = ("../b", "/etc/passwd", "a/../../b", "link/../../b", "x\0y", "..\\..\\b", "C:\\b")
OUTSIDE += ("\\\\server\\b", "../val2/b", "/x/images/val/b")


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_name_that_leads_outside_is_refused(root: Path, name: str) -> None:
    (root / "link").symlink_to(root.parent)
    with_file(root.parent, "b")
    with pytest.raises(DataError, match=r"a\.json: file name .* points outside") as caught:
        inside(root, name, root, "a.json")
    assert caught.value.kind == "outside folder"


@pytest.mark.parametrize("name", ["%2e%2e/b", "..%2fb", "%2e%2e%2fb"])
def test_an_escaped_name_leads_nowhere_else(root: Path, name: str) -> None:
    with_file(root.parent, "b")
    assert inside(root, name, root, "a.json") == root / name


def test_what_is_not_there_is_told_by_its_own_name(root: Path) -> None:
    assert inside(root, "day0\\a.jpg", root, "a.json") == root / "day0" / "a.jpg"


@pytest.mark.parametrize(
    ("name", "relative"),
    [("a.jpg", "a.jpg"), ("day0\\a.jpg", "day0/a.jpg"), ("/data/images/day0/a.jpg", "day0/a.jpg")],
)
def test_a_name_is_made_relative_to_its_folder(name: str, relative: str) -> None:
    assert relative_name(name, "a.json", "/data/images") == relative


@pytest.mark.parametrize("name", ["", "../a.jpg", "..\\a.jpg", "/b/a.jpg", "C:\\a.jpg", "a\n.jpg"])
def test_a_name_that_is_not_relative_is_refused(name: str) -> None:
    with pytest.raises(DataError, match=r"a\.json: file name .* does not lie below"):
        relative_name(name, "a.json", "/data/images")
