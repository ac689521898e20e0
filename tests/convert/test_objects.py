"""Objects as labelme, X-AnyLabeling, CVAT and Label Studio write them; all faults are told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from panoptic_deeplab.cli import convert as command

SIZE = (6, 4)
"""(width, height)."""


def convert(*arguments: str | Path) -> int:
    return command.main([*map(str, arguments), "--num_workers", "1"])


def segments(json_file: Path) -> dict[str, list[tuple[str, bool, int, int]]]:
    """By the image's file: class, is it a thing, is it a crowd, area; in the order of the file."""
    content = json.loads(json_file.read_text())
    classes = {c["id"]: (c["name"], bool(c["isthing"])) for c in content["categories"]}
    files = {image["id"]: image["file_name"] for image in content["images"]}
    return {
        files[entry["image_id"]]: [
            (*classes[s["category_id"]], s["iscrowd"], s["area"]) for s in entry["segments_info"]
        ]
        for entry in content["annotations"]
    }


ROAD = {"label": "road", "points": [[0, 2], [5, 2], [5, 3], [0, 3]]}
CART = {"label": "cart", "points": [[1, 0], [2, 0], [2, 1], [1, 1]]}


def labelme(folder: Path, name: str, *shapes: dict[str, Any], **more: Any) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    content = {"shapes": list(shapes), "imagePath": f"{name}.jpg"} | more
    (folder / f"{name}.json").write_text(json.dumps(content))
    Image.new("RGB", SIZE).save(folder / f"{name}.jpg")


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    return tmp_path / "lab"


def from_labelme(folder: Path, *more: str) -> int:
    out = ("--save_dir", folder.parent / "out", "--name", "out")
    classes = ("--things", "cart", "--stuff", "road")
    return convert("from-labelme", "--folder", folder, *classes, *out, *more)


def result(folder: Path) -> dict[str, list[tuple[str, bool, int, int]]]:
    return segments(folder.parent / "out" / "out.json")


def test_all_faults_of_a_folder_are_told_in_one_run(
    lab: Path, capsys: pytest.CaptureFixture
) -> None:
    for number in range(6):
        labelme(lab, f"{number}", ROAD)
    labelme(lab, "1", ROAD, CART | {"label": "crat"}, CART | {"label": "raod"})
    labelme(lab, "2", ROAD, CART | {"points": "none"}, CART | {"points": [[1, 1]]})
    labelme(lab, "3", ROAD, imageHeight=40, imageWidth=60)
    (lab / "4.jpg").unlink()
    (lab / "5.json").write_text("{")
    assert from_labelme(lab) == 1
    told = [x for x in capsys.readouterr().err.splitlines() if "images:" not in x]
    assert [line.strip().removeprefix(f"{lab}/")[:44] for line in told if line] == [
        "warning: left out: 1",
        "2.json: shape 2 is a polygon of 1 point, whi",
        "faults: 6",
        "4.json: its image " + f"{lab}/4.* is missing"[:26],
        "1.json: shape 1: the label 'crat' is none of",
        "1.json: shape 2: the label 'raod' is none of",
        "2.json: shape 1: expected label, points and ",
        "3.json: imageHeight 40 and imageWidth 60 are",
        "5.json: cannot be read as JSON (Expecting pr",
        "error: 6 faults, listed above; nothing was w",
    ]
    assert not (lab.parent / "out" / "out.json").exists()


def test_many_faults_are_counted(lab: Path, capsys: pytest.CaptureFixture) -> None:
    labelme(lab, "a", *[CART | {"label": "crat"}] * 50)
    assert from_labelme(lab) == 1
    told = capsys.readouterr().err
    assert told.count("the label 'crat'") == command.LISTED
    assert f"    and {50 - command.LISTED} more\n" in told
    assert "error: 50 faults, listed above" in told


def test_a_fault_that_all_images_have_is_not_read_to_the_end(
    lab: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("panoptic_deeplab.convert.run.MAX_FAULTS", 3)
    for number in range(6):
        labelme(lab, f"{number}", CART | {"label": "crat"})
    assert from_labelme(lab) == 1
    assert "error: 3 faults, listed above" in capsys.readouterr().err


def test_what_covers_nothing_is_left_out_and_counted(
    lab: Path, capsys: pytest.CaptureFixture
) -> None:
    line = {"label": "lane", "shape_type": "line", "points": [[0, 0], [5, 3]]}
    outside = CART | {"points": [[50, 50], [60, 50], [60, 60]]}
    labelme(lab, "a", ROAD, CART, line, outside)
    assert from_labelme(lab) == 0
    told = capsys.readouterr().err
    assert "warning: left out: 2\n" in told
    assert f"{lab}/a.json: shape 2 is a line of 2 points, which covers no area\n" in told
    assert f"{lab}/a.json: shape 3 (cart) covers no pixel\n" in told
    assert result(lab) == {"a.jpg": [("road", False, 0, 12), ("cart", True, 0, 4)]}


def test_other_jsons_of_the_folder_are_passed_over(
    lab: Path, capsys: pytest.CaptureFixture
) -> None:
    labelme(lab, "a", CART)
    (lab / "classes.json").write_text('["road", "cart"]')
    (lab / "._a.json").write_bytes(b"\0\5\26\7")
    assert from_labelme(lab) == 0
    assert "classes.json: is no annotation of labelme" in capsys.readouterr().err
    assert result(lab) == {"a.jpg": [("cart", True, 0, 4)]}


def test_the_image_may_have_the_name_that_its_json_gives(lab: Path) -> None:
    labelme(lab / "day0", "a", CART, imagePath="..\\photos\\b.JPG")
    (lab / "day0" / "a.jpg").rename(lab / "day0" / "b.JPG")
    assert from_labelme(lab) == 0
    assert result(lab) == {"day0/b.JPG": [("cart", True, 0, 4)]}


@pytest.mark.parametrize("name", ["../b.jpg", "b.jpg", "/b.jpg", "", None])
def test_an_image_elsewhere_is_missing(
    lab: Path, name: str | None, capsys: pytest.CaptureFixture
) -> None:
    labelme(lab, "a", CART, imagePath=name)
    (lab / "a.jpg").rename(lab.parent / "b.jpg")
    assert from_labelme(lab) == 1
    assert f"a.json: its image {lab}/a.* is missing; --images names" in capsys.readouterr().err


def test_an_image_of_another_format_is_named(lab: Path, capsys: pytest.CaptureFixture) -> None:
    labelme(lab, "a", CART)
    (lab / "a.jpg").rename(lab / "a.heic")
    assert from_labelme(lab) == 1
    assert f"its image {lab}/a.heic is of a format that is not read" in capsys.readouterr().err


def test_a_size_with_its_sides_swapped_is_that_of_the_image(lab: Path) -> None:
    labelme(lab, "a", ROAD, imageHeight=SIZE[0], imageWidth=SIZE[1])
    assert from_labelme(lab) == 0
    assert result(lab) == {"a.jpg": [("road", False, 0, 12)]}


def test_shapes_drawn_on_the_image_as_it_is_stored_are_refused(
    lab: Path, capsys: pytest.CaptureFixture
) -> None:
    labelme(lab, "a", ROAD, imageHeight=SIZE[1], imageWidth=SIZE[0])
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", SIZE).save(lab / "a.jpg", exif=exif)
    assert from_labelme(lab) == 1
    told = capsys.readouterr().err
    assert "6 and 4; its EXIF orientation 6 (90 degrees clockwise) turns it: if the shapes" in told


# COCO instances.


def instances(path: Path, *objects: dict[str, Any], **changes: Any) -> Path:
    content = {
        "images": [{"id": 5, "file_name": "a.jpg", "height": 4, "width": 6}],
        "annotations": [
            {"id": number, "image_id": 5} | entry for number, entry in enumerate(objects)
        ],
        "categories": [{"id": i, "name": name} for i, name in enumerate(("cart", "road", "sky"))],
    }
    path.write_text(json.dumps(content | changes))
    return path


def polygon(category_id: int, left: int, top: int, right: int, bottom: int) -> dict[str, Any]:
    corners = [left, top, right, top, right, bottom, left, bottom]
    return {"category_id": category_id, "segmentation": [corners]}


SURFACES = (polygon(1, 0, 2, 3, 4), polygon(1, 3, 2, 6, 4), polygon(2, 0, 0, 6, 2))


def from_instances(json_file: Path, *more: str | Path) -> int:
    out = ("--save_dir", json_file.parent / "out", "--name", "out")
    return convert("from-coco-instances", "--json", json_file, *out, *more)


@pytest.mark.parametrize(
    ("flags", "road"),
    [
        ((), [("road", True, 0, 6), ("road", True, 0, 6)]),
        (("--stuff", "road, sky"), [("road", False, 0, 12)]),
    ],
)
def test_polygons_of_surfaces_are_stuff_if_named(
    tmp_path: Path, flags: tuple[str, ...], road: list
) -> None:
    source = instances(tmp_path / "a.json", *SURFACES, polygon(0, 1, 1, 2, 2))
    assert from_instances(source, *flags) == 0
    sky = ("sky", not flags, 0, 11)
    assert segments(tmp_path / "out" / "out.json")["a.jpg"] == [*road, sky, ("cart", True, 0, 1)]


def test_stuff_must_be_a_class(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    source = instances(tmp_path / "a.json", *SURFACES)
    assert from_instances(source, "--stuff", "raod") == 2
    assert "--stuff: 'raod' is none of the 3 classes of a (did you mean" in capsys.readouterr().err


def test_an_object_without_pixels_is_left_out_and_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    thin = {"category_id": 0, "segmentation": [[1, 1, 5, 1]]}
    source = instances(tmp_path / "a.json", *SURFACES, thin)
    assert from_instances(source) == 0
    assert "warning: left out: 1\n" in (told := capsys.readouterr().err)
    assert f"{source}: image a.jpg: annotation 3 covers no pixel" in told


def test_all_faults_of_a_json_are_told_in_one_run(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """Those that are found as it is listed, and those of masks."""
    broken = {"category_id": 0, "segmentation": {"size": [4, 6], "counts": [3]}}
    source = instances(tmp_path / "a.json", broken, polygon(7, 0, 0, 1, 1), broken)
    assert from_instances(source) == 1
    told = [x.strip() for x in capsys.readouterr().err.splitlines() if str(source) in x]
    assert [line.removeprefix(f"{source}: ")[:44] for line in told] == [
        "annotation 1 has category_id 7, which is non",
        "image a.jpg: annotation 0: the runs of an RL",
        "image a.jpg: annotation 2: the runs of an RL",
    ]


@pytest.mark.parametrize(
    "name", ["..\\..\\upload\\4\\a.jpg", "/data/upload/4/a.jpg", "C:\\photos\\a.jpg", "../a.jpg"]
)
def test_images_that_a_json_has_elsewhere_are_found_by_their_last_part(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture
) -> None:
    image = {"id": 5, "file_name": name, "height": 4, "width": 6}
    source = instances(tmp_path / "a.json", *SURFACES, images=[image])
    assert from_instances(source) == 1
    assert "--images finds images by the last part of their names" in capsys.readouterr().err
    (tmp_path / "photos").mkdir()
    assert from_instances(source, "--images", tmp_path / "photos") == 1
    Image.new("RGB", SIZE).save(tmp_path / "photos" / "a.jpg")
    assert from_instances(source, "--images", tmp_path / "photos") == 0
    assert list(segments(tmp_path / "out" / "out.json")) == ["a.jpg"]


@pytest.mark.parametrize("name", ["{folder}/day0/a.jpg", "day0/a.jpg", "day0\\a.jpg"])
def test_a_name_below_the_folder_of_images_is_kept(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "photos"
    for path in (folder / "a.jpg", folder / "day0" / "a.jpg"):
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", SIZE).save(path)
    image = {"id": 5, "file_name": name.format(folder=folder), "height": 4, "width": 6}
    source = instances(tmp_path / "a.json", *SURFACES, images=[image])
    assert from_instances(source, "--images", folder) == 0
    assert list(segments(tmp_path / "out" / "out.json")) == ["day0/a.jpg"]
