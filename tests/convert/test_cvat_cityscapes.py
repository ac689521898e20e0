"""CVAT's "Cityscapes 1.0" of a task of one's own keeps the labels of its label_colors.txt."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from panoptic_deeplab.cli import convert as command
from panoptic_deeplab.datasets import CocoPanoptic
from panoptic_deeplab.formats.label_colors import are_cityscapes, read_label_colors

LABELS = """# r g b label
0 0 0 background

0 255 0 tall tree
255 0 0 cart
4 4 4 water
"""
TREE, CART, WATER = 1, 2, 3


def write_ids(root: Path, name: str, values: list[list[int]]) -> None:
    path = root / "gtFine" / f"{name}_gtFine_instanceIds.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.array(values, np.uint16)).save(path)


@pytest.fixture
def cvat(tmp_path: Path) -> Path:
    """A tree and water without numbers, two carts."""
    root = tmp_path / "export"
    write_ids(
        root, "default/a_1", [[TREE, TREE, WATER, 0], [CART * 1000 + 1, CART * 1000 + 2, 0, 0]]
    )
    (root / "label_colors.txt").write_text(LABELS)
    return root


def convert(root: Path, *more: str, name: str = "default") -> int:
    arguments = ["--dataset_root", root, "--split", name, "--save_dir", root.parent / "out", *more]
    return command.main(["from-cityscapes", *map(str, arguments), "--num_workers", "1"])


def content(root: Path, name: str = "default") -> dict[str, Any]:
    return json.loads((root.parent / "out" / f"{name}.json").read_text())


def kinds(root: Path) -> dict[str, int]:
    return {entry["name"]: entry["isthing"] for entry in content(root)["categories"]}


def test_own_labels_are_kept(cvat: Path) -> None:
    assert convert(cvat) == 0
    categories = content(cvat)["categories"]
    assert [(c["id"], c["name"], c["isthing"], c["color"]) for c in categories] == [
        (TREE, "tall tree", 0, [0, 255, 0]),
        (CART, "cart", 1, [255, 0, 0]),
        (WATER, "water", 0, [4, 4, 4]),
    ]
    (entry,) = content(cvat)["annotations"]
    found = [(s["category_id"], s["area"], s["iscrowd"]) for s in entry["segments_info"]]
    assert found == [(TREE, 2, 0), (WATER, 1, 0), (CART, 1, 0), (CART, 1, 0)]


def test_stuff_is_what_is_named(cvat: Path) -> None:
    """What is plain of a thing is a crowd, and instances of stuff are one segment."""
    assert convert(cvat, "--stuff", "cart,tall tree") == 0
    assert kinds(cvat) == {"tall tree": 0, "cart": 0, "water": 1}
    (entry,) = content(cvat)["annotations"]
    found = [(s["category_id"], s["area"], s["iscrowd"]) for s in entry["segments_info"]]
    assert sorted(found) == [(TREE, 2, 0), (CART, 2, 0), (WATER, 1, 1)]


def test_all_splits_say_what_is_stuff(cvat: Path) -> None:
    write_ids(cvat, "other/b_1", [[WATER * 1000 + 1]])
    assert convert(cvat) == 0
    assert kinds(cvat) == {"tall tree": 0, "cart": 1, "water": 1}


@pytest.mark.parametrize("place", ["", "city/", "deep/city/"])
@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_images_are_found_at_any_depth_and_of_any_format(
    tmp_path: Path, place: str, suffix: str
) -> None:
    root = tmp_path / "export"
    write_ids(root, f"default/{place}a_1", [[TREE, 0]])
    (root / "label_colors.txt").write_text(LABELS)
    folder = root / "imgsFine" / "leftImg8bit" / "default"
    (folder / place).mkdir(parents=True)
    Image.new("RGB", (2, 1)).save(folder / f"{place}a_1_leftImg8bit{suffix}")
    assert convert(root) == 0
    dataset = CocoPanoptic(
        str(root.parent), image_root=str(folder), annotation_file="out/default.json"
    )
    assert dataset[0]["panoptic"].tolist() == [[TREE, 0]]


def test_without_exported_images_they_have_the_names_of_the_users_own(cvat: Path) -> None:
    assert convert(cvat) == 0
    assert content(cvat)["images"][0]["file_name"] == "a_1.png"
    (cvat.parent / "mine").mkdir()
    Image.new("RGB", (4, 2)).save(cvat.parent / "mine" / "a_1.jpg")
    dataset = CocoPanoptic(str(cvat.parent), image_root="mine", annotation_file="out/default.json")
    assert len(dataset[0]["segments"]) == 4


def test_a_label_that_the_file_lacks_is_told(cvat: Path, capsys: pytest.CaptureFixture) -> None:
    write_ids(cvat, "default/b_1", [[9]])
    assert convert(cvat) == 1
    assert "b_1_gtFine_instanceIds.png: id 9 at pixel (y 0, x 0)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--stuff", "tree"), "--stuff: 'tree' is none of the 3 classes of label_colors"),
        (("--stuff", "background"), "'background' is none of the 3 classes"),
    ],
)
def test_stuff_must_be_a_label(
    cvat: Path, flags: tuple[str, ...], message: str, capsys: pytest.CaptureFixture
) -> None:
    assert convert(cvat, *flags) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected the background (0 0 0) as the first label, got 'none'"),
        ("1 1 1 tree\n0 0 0 night\n", "as the first label, got 'tree'"),
        ("0 0 0 background\n1 1 1 a\n2 2 2 a\n", "share the name 'a'"),
        ("background\n", "has no category"),
        (b"\xff\xfe", "cannot be read as text"),
    ],
)
def test_broken_labels_are_refused(
    cvat: Path, text: str | bytes, message: str, capsys: pytest.CaptureFixture
) -> None:
    data = text if isinstance(text, bytes) else text.encode()
    (cvat / "label_colors.txt").write_bytes(data)
    assert convert(cvat) == 1
    assert message in capsys.readouterr().err


def test_labels_may_have_no_colors(cvat: Path) -> None:
    (cvat / "label_colors.txt").write_text("background\ntall tree\ncart\nwater\n")
    assert convert(cvat) == 0
    assert kinds(cvat) == {"tall tree": 0, "cart": 1, "water": 0}


OFFICIAL = "unlabeled,egovehicle,rectificationborder,outofroi,static,dynamic,ground,road"


def test_cityscapes_labels_in_the_file_are_cityscapes(
    cvat: Path, capsys: pytest.CaptureFixture
) -> None:
    names = OFFICIAL.split(",")
    (cvat / "label_colors.txt").write_text("".join(f"0 0 0 {name}\n" for name in names))
    assert are_cityscapes(read_label_colors(cvat / "label_colors.txt"))
    write_ids(cvat, "default/a_1", [[7, 26001]])
    assert convert(cvat) == 0
    (entry,) = content(cvat)["annotations"]
    assert [s["category_id"] for s in entry["segments_info"]] == [0, 13]
    assert convert(cvat, "--overwrite", "--stuff", "road") == 2
    assert "--stuff: the classes are Cityscapes'" in capsys.readouterr().err


def test_preparing_such_a_folder_names_the_command(
    cvat: Path, capsys: pytest.CaptureFixture
) -> None:
    arguments = ["prepare-cityscapes", "--dataset_root", str(cvat), "--splits", "default"]
    assert command.main(arguments) == 1
    told = capsys.readouterr().err
    assert "as CVAT exports them; use panoptic-deeplab convert from-cityscapes" in told
