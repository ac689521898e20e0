"""panoptic-deeplab check: each defect is found, named and placed; nothing is found where there is
none."""

from __future__ import annotations

import copy
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from panoptic_deeplab.check import check_dataset
from panoptic_deeplab.check.findings import ERROR, KINDS
from panoptic_deeplab.cli.check import main
from panoptic_deeplab.config import Config
from panoptic_deeplab.datasets import CocoPanoptic
from panoptic_deeplab.errors import (
    DataError,
    UsageError,
    collecting_errors,
)
from panoptic_deeplab.formats.cityscapes import LABEL_IDS
from panoptic_deeplab.formats.images import read_image, write_ids

PACKAGE = Path(__file__).parents[2] / "panoptic_deeplab"

SKY, ROAD, CAR = 300, 7, 70000
IDS = np.array(
    [
        [SKY, SKY, SKY, SKY, SKY, SKY],
        [SKY, SKY, SKY, CAR, CAR, SKY],
        [ROAD, ROAD, CAR, CAR, CAR, ROAD],
        [ROAD, ROAD, ROAD, ROAD, ROAD, 0],
    ],
    np.int32,
)
SEGMENTS = [
    {"id": ROAD, "category_id": 10, "iscrowd": 0, "area": 8, "bbox": [0, 2, 6, 2]},
    {"id": CAR, "category_id": 20, "iscrowd": 0, "area": 5, "bbox": [2, 1, 3, 2]},
    {"id": SKY, "category_id": 30, "iscrowd": 0, "area": 10, "bbox": [0, 0, 6, 2]},
]
CATEGORIES = [
    {"id": 10, "name": "road", "isthing": 0, "color": [128, 64, 128]},
    {"id": 20, "name": "car", "isthing": 1, "color": [0, 0, 142]},
    {"id": 30, "name": "sky", "isthing": 0, "color": [70, 130, 180]},
]
SPLITS = {"train": ["1", "2"], "val": ["3"]}


@pytest.fixture
def coco(tmp_path: Path) -> Path:
    """Two images to train on and one to validate, each of road, car and sky, without a fault."""
    root = tmp_path / "data"
    for split, numbers in SPLITS.items():
        for number in numbers:
            noise = np.random.default_rng(int(number)).integers(0, 256, (4, 6, 3), np.uint8)
            image = image_of(root, number)
            image.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(noise).save(image)
            write_ids(label_of(root, number), IDS)
        content = {
            "images": [{"id": int(n), "file_name": f"{n}.png"} for n in numbers],
            "annotations": [
                {"image_id": int(n), "file_name": f"{n}.png", "segments_info": SEGMENTS}
                for n in numbers
            ],
            "categories": CATEGORIES,
        }
        json_of(root, split).write_text(json.dumps(content))
    return root


def split_of(number: str) -> str:
    return "train" if number in SPLITS["train"] else "val"


def image_of(root: Path, number: str) -> Path:
    return root / "images" / split_of(number) / f"{number}.png"


def label_of(root: Path, number: str) -> Path:
    return json_of(root, split_of(number)).with_suffix("") / f"{number}.png"


def json_of(root: Path, split: str) -> Path:
    return root / "annotations" / f"panoptic_{split}.json"


def config_of(root: Path, kind: str = "CocoPanoptic", **arguments: Any) -> Path:
    path = root.parent / "config.yml"
    sections = {
        f"{split}_dataset": {"type": kind, "dataset_root": str(root), "mode": split} | arguments
        for split in SPLITS
    }
    path.write_text(json.dumps(sections))  # which is YAML as well
    return path


def check(config: Path, *options: str) -> tuple[int, dict[str, Any]]:
    """The exit code and what --json says."""
    report = config.with_name("report.json")
    code = main(["--config", str(config), "--json", str(report), "--num_workers", "2", *options])
    return code, json.loads(report.read_text())


def edit(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def in_first(change: Callable[[dict[str, Any]], Any], split: str = "train") -> Callable:
    """A change of the first annotation of a split."""
    return lambda root: edit(json_of(root, split), lambda c: change(c["annotations"][0]))


def in_segment(place: int, **values: Any) -> Callable:
    return in_first(lambda annotation: annotation["segments_info"][place].update(values))


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-30])


def turned(orientation: int, size: tuple[int, int]) -> Callable[[Path], None]:
    """A change of image 1: stored with a size (width, height) and an EXIF orientation."""

    def change(root: Path) -> None:
        exif = Image.Exif()
        exif[0x0112] = orientation
        Image.new("RGB", size).save(image_of(root, "1"), exif=exif)

    return change


def without_car(root: Path) -> None:
    """The car of the validation image becomes road."""
    write_ids(label_of(root, "3"), np.where(IDS == CAR, ROAD, IDS))

    def change(annotation: dict[str, Any]) -> None:
        annotation["segments_info"].pop(1)
        annotation["segments_info"][0] |= {"area": 13, "bbox": [0, 1, 6, 3]}

    in_first(change, "val")(root)


def all_void(root: Path) -> None:
    write_ids(label_of(root, "1"), np.zeros_like(IDS))
    in_first(lambda annotation: annotation.update(segments_info=[]))(root)


def as_image_1(content: dict[str, Any]) -> None:
    content["images"][0]["id"] = content["annotations"][0]["image_id"] = 1


def colors_of_classes() -> np.ndarray:
    """[4, 6, 3] uint8: each segment in the color of its class, void black."""
    colors = {entry["id"]: entry["color"] for entry in CATEGORIES}
    image = np.zeros((*IDS.shape, 3), np.uint8)
    for segment in SEGMENTS:
        image[segment["id"] == IDS] = colors[segment["category_id"]]
    return image


TRAIN_JSON, VAL_JSON = "annotations/panoptic_train.json", "annotations/panoptic_val.json"
LABEL_1, IMAGE_1 = "annotations/panoptic_train/1.png", "images/train/1.png"

DEFECTS: dict[str, tuple[Callable[[Path], Any], str, dict[str, Any], str]] = {
    "a category that the table lacks": (
        in_segment(1, category_id=21),
        "unknown category",
        {"file": TRAIN_JSON, "image_id": "1", "segment_id": CAR},
        "category_id 21, which is none of the 3 categories",
    ),
    "an id that the JSON lacks": (
        in_first(lambda annotation: annotation["segments_info"].pop(1)),
        "id not in JSON",
        {"file": LABEL_1, "image_id": "1", "segment_id": CAR, "pixel_yx": [1, 3]},
        "id 70000 at pixel (y 1, x 3) is not in the JSON",
    ),
    "a segment that the PNG lacks": (
        lambda root: write_ids(label_of(root, "1"), np.where(IDS == CAR, 0, IDS)),
        "segment without pixels",
        {"file": LABEL_1, "image_id": "1", "segment_id": CAR},
        "segment 70000 (car) is listed, but no pixel has its id",
    ),
    "an id listed twice": (
        in_first(lambda annotation: annotation["segments_info"].append(SEGMENTS[1])),
        "duplicate segment",
        {"file": TRAIN_JSON, "image_id": "1", "segment_id": CAR},
        "segment 70000 is listed twice",
    ),
    "a wrong area": (
        in_segment(1, area=6),
        "wrong area",
        {"file": LABEL_1, "image_id": "1", "segment_id": CAR, "pixel_yx": [1, 3]},
        "segment 70000 (car) has area 6 in the JSON, 5 in the map",
    ),
    "a wrong box": (
        in_segment(1, bbox=[2, 1, 4, 2]),
        "wrong box",
        {"file": LABEL_1, "image_id": "1", "segment_id": CAR, "pixel_yx": [1, 3]},
        "segment 70000 (car) has box [2, 1, 4, 2], the map [2, 1, 3, 2]",
    ),
    "a crowd of road": (
        in_segment(0, iscrowd=1),
        "crowd of stuff",
        {"file": LABEL_1, "image_id": "1", "segment_id": ROAD},
        "segment 7 (road) is stuff and marked as crowd",
    ),
    "a segment that is no segment": (
        in_segment(1, id="car"),
        "malformed entry",
        {"file": TRAIN_JSON, "image_id": "1"},
        "expected an entry with a whole number 'id'",
    ),
    "an id of 4,000 digits": (
        in_segment(1, id=10**4000),
        "malformed entry",
        {"file": TRAIN_JSON, "image_id": "1"},
        "expected an entry with a whole number 'id', got {'id': 10000",
    ),
    "an image of another size": (
        lambda root: Image.new("RGB", (6, 5)).save(image_of(root, "1")),
        "size mismatch",
        {"file": LABEL_1, "image_id": "1"},
        "the annotation is 6 x 4 pixels, its image",
    ),
    "an annotation of the stored pixels": (
        turned(6, (6, 4)),
        "annotated as stored",
        {"file": LABEL_1, "image_id": "1"},
        "by its EXIF orientation 6 (90 degrees clockwise) the image is 4 x 6; if the annotation",
    ),
    "an image upside down": (
        turned(3, (6, 4)),
        "EXIF orientation",
        {"file": LABEL_1, "image_id": "1"},
        "is turned by its EXIF orientation 3 (180 degrees), and the sizes do not tell",
    ),
    "no image": (
        lambda root: image_of(root, "1").unlink(),
        "annotation without picture",
        {"file": TRAIN_JSON, "image_id": "1"},
        "image 1 is annotated, but no image 1.png",
    ),
    "no PNG of ids": (
        lambda root: label_of(root, "1").unlink(),
        "missing file",
        {"file": LABEL_1, "image_id": "1"},
        "no such file",
    ),
    "an image cut short": (
        lambda root: cut_short(image_of(root, "1")),
        "unreadable file",
        {"file": IMAGE_1, "image_id": "1"},
        "not a readable image",
    ),
    "a PNG of ids cut short": (
        lambda root: cut_short(label_of(root, "1")),
        "unreadable file",
        {"file": LABEL_1, "image_id": "1"},
        "not a readable image",
    ),
    "a PNG of gray values": (
        lambda root: Image.fromarray(IDS.astype(np.uint8)).save(label_of(root, "1")),
        "no map of ids",
        {"file": LABEL_1, "image_id": "1"},
        "expected an RGB panoptic PNG",
    ),
    "a PNG of the colors of classes": (
        lambda root: Image.fromarray(colors_of_classes()).save(label_of(root, "1")),
        "no map of ids",
        {"file": LABEL_1, "image_id": "1"},
        "holds the colors of classes (road, car, sky) in place of ids",
    ),
    "an area that is no number": (
        in_segment(1, area=float("nan")),
        "malformed entry",
        {"file": TRAIN_JSON, "image_id": "1"},
        "expected an entry with a number 'area'",
    ),
    "a class of no kind": (
        lambda root: edit(json_of(root, "val"), lambda c: c["categories"][2].pop("isthing")),
        "thing or stuff",
        {"file": VAL_JSON},
        "of 3 categories 1 lack isthing: sky",
    ),
    "an image annotated twice": (
        lambda root: edit(
            json_of(root, "train"), lambda c: c["annotations"].append(c["annotations"][0])
        ),
        "duplicate image",
        {"file": TRAIN_JSON, "image_id": "1"},
        "image 1 is annotated twice",
    ),
    "a PNG outside": (
        in_first(lambda annotation: annotation.update(file_name="../panoptic_val/3.png")),
        "outside folder",
        {"file": TRAIN_JSON, "image_id": "1"},
        "points outside",
    ),
    "an image without annotation": (
        lambda root: edit(json_of(root, "train"), lambda c: c["annotations"].pop(0)),
        "picture without annotation",
        {"file": TRAIN_JSON, "image_id": "1"},
        "image 1 (1.png) has no annotation",
    ),
    "a class that never occurs": (
        without_car,
        "class without segment",
        {},
        "class 'car' (id 20) has no segment in val",
    ),
    "an image that is all void": (
        all_void,
        "nothing annotated",
        {"file": LABEL_1, "image_id": "1"},
        "every pixel is void",
    ),
    "another name in the other split": (
        lambda root: edit(json_of(root, "val"), lambda c: c["categories"][2].update(name="heaven")),
        "class table",
        {"file": VAL_JSON},
        "category 'heaven' has id 30, which is 'sky'",
    ),
    "stuff in one split, a thing in the other": (
        lambda root: edit(json_of(root, "val"), lambda c: c["categories"][2].update(isthing=1)),
        "class table",
        {"file": VAL_JSON},
        "category 'sky' is a thing here and stuff",
    ),
    "one class more in one split": (
        lambda root: edit(
            json_of(root, "val"),
            lambda c: c["categories"].append({"id": 40, "name": "dog", "isthing": 1}),
        ),
        "class table",
        {},
        "category 'dog' (id 40) is not in train",
    ),
    "a training image to validate on": (
        lambda root: shutil.copy(image_of(root, "1"), image_of(root, "3")),
        "shared picture",
        {"file": "images/val/3.png", "image_id": "3"},
        "is also a training image",
    ),
    "one id for two images": (
        lambda root: edit(json_of(root, "val"), as_image_1),
        "shared image id",
        {"file": "images/val/3.png", "image_id": "1"},
        "has the image id 1, and so has",
    ),
    "an image twice": (
        lambda root: shutil.copy(image_of(root, "1"), image_of(root, "2")),
        "repeated picture",
        {"file": "images/train/2.png", "image_id": "2"},
        "has the same content as",
    ),
    "a JSON that breaks off": (
        lambda root: cut_short(json_of(root, "train")),
        "unreadable file",
        {},
        "panoptic_train.json: cannot be read as JSON",
    ),
}


def segments_again(root: Path) -> None:
    in_first(lambda annotation: annotation.update(segments_info=SEGMENTS))(root)


def labels_again(root: Path) -> None:
    for number in "123":
        write_ids(label_of(root, number), IDS)


def categories_again(root: Path) -> None:
    for split in SPLITS:
        edit(json_of(root, split), lambda content: content.update(categories=CATEGORIES))


def without_entries(place: int) -> Callable:
    """A change that takes an image's entries out of the training split."""

    def take_out(content: dict[str, Any]) -> None:
        number = content["images"].pop(place)["id"]
        kept = [a for a in content["annotations"] if a["image_id"] != number]
        content["annotations"] = kept

    return lambda root: edit(json_of(root, "train"), take_out)


def annotation_scaled(root: Path) -> None:
    """To 6 x 5, by nearest neighbor; areas and boxes are left out."""
    write_ids(label_of(root, "1"), IDS[[0, 0, 1, 2, 3]])
    bare = [{key: s[key] for key in ("id", "category_id", "iscrowd")} for s in SEGMENTS]
    in_first(lambda annotation: annotation.update(segments_info=bare))(root)


def image_again(root: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (4, 6, 3), np.uint8)
    Image.fromarray(noise).save(image_of(root, "1"))


def areas_left_out(root: Path) -> None:
    for split in SPLITS:
        edit(json_of(root, split), lambda c: [s.pop("area") for s in all_segments(c)])


def all_segments(content: dict[str, Any]) -> list[dict[str, Any]]:
    return [s for annotation in content["annotations"] for s in annotation["segments_info"]]


def car_in_val_again(root: Path) -> None:
    labels_again(root)
    in_first(lambda annotation: annotation.update(segments_info=SEGMENTS), "val")(root)


def number_3_again(content: dict[str, Any]) -> None:
    content["images"][0]["id"] = content["annotations"][0]["image_id"] = 3


FIXES: dict[str, Callable[[Path], Any]] = {
    "a category that the table lacks": in_segment(1, category_id=20),
    "an id that the JSON lacks": segments_again,
    "a segment that the PNG lacks": in_first(lambda a: a["segments_info"].pop(1)),
    "an id listed twice": in_first(lambda a: a["segments_info"].pop()),
    "a wrong area": areas_left_out,
    "a wrong box": in_segment(1, bbox=[2, 1, 3, 2]),
    "a crowd of road": in_segment(0, iscrowd=0),
    "a segment that is no segment": in_segment(1, id=CAR),
    "an id of 4,000 digits": in_segment(1, id=CAR),
    "an image of another size": annotation_scaled,
    "an annotation of the stored pixels": turned(1, (6, 4)),
    "an image upside down": turned(1, (6, 4)),
    "no image": without_entries(0),
    "no PNG of ids": without_entries(0),
    "an image cut short": image_again,
    "a PNG of ids cut short": labels_again,
    "a PNG of gray values": labels_again,
    "a PNG of the colors of classes": labels_again,
    "an area that is no number": in_segment(1, area=5),
    "a class of no kind": categories_again,
    "an image annotated twice": lambda root: edit(
        json_of(root, "train"), lambda c: c["annotations"].pop()
    ),
    "a PNG outside": in_first(lambda annotation: annotation.update(file_name="1.png")),
    "an image without annotation": lambda root: edit(
        json_of(root, "train"), lambda c: c["images"].pop(0)
    ),
    "a class that never occurs": car_in_val_again,
    "an image that is all void": without_entries(0),
    "another name in the other split": categories_again,
    "stuff in one split, a thing in the other": categories_again,
    "one class more in one split": categories_again,
    "a training image to validate on": without_entries(0),
    "one id for two images": lambda root: edit(json_of(root, "val"), number_3_again),
    "an image twice": without_entries(1),
    "a JSON that breaks off": lambda root: shutil.copy(
        root / "untouched" / TRAIN_JSON, root / TRAIN_JSON
    ),
}
"""What the fix of each defect says, done."""


@pytest.mark.parametrize("defect", DEFECTS)
def test_the_fix_that_is_told_fixes_it(coco: Path, defect: str) -> None:
    shutil.copytree(coco / "annotations", coco / "untouched" / "annotations")
    DEFECTS[defect][0](coco)
    assert check(config_of(coco))[1]["counts"], "there is something to fix"
    FIXES[defect](coco)
    code, report = check(config_of(coco))
    assert (code, report["counts"]) == (0, {}), report["findings"]


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_defect_is_the_one_finding(
    coco: Path, defect: str, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil, kind, place, cause = DEFECTS[defect]
    spoil(coco)
    code, report = check(config_of(coco))
    assert report["counts"] == {kind: 1}, report["findings"]
    (finding,) = report["findings"]
    if "file" in place:
        place = place | {"file": str(coco / place["file"])}
    assert {key: finding.get(key) for key in place} == place
    assert cause in finding["cause"]
    assert finding["cure"] == KINDS[kind].fix
    assert finding["severity"] == KINDS[kind].severity
    assert code == (KINDS[kind].severity == ERROR)
    shown = capsys.readouterr().out
    assert f"{KINDS[kind].severity}: {kind}: 1\n" in shown
    assert cause in shown
    assert KINDS[kind].fix in shown


def test_nothing_is_found_where_nothing_is_wrong(
    coco: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, report = check(config_of(coco))
    assert code == 0
    assert report["findings"] == []
    assert (report["errors"], report["warnings"]) == (0, 0)
    output = capsys.readouterr()
    assert "0 error(s), 0 warning(s)" in output.out
    assert "error:" not in output.err


def test_areas_may_have_a_fraction_of_a_pixel(coco: Path) -> None:
    in_segment(1, area=5.5)(coco)
    assert check(config_of(coco))[1]["counts"] == {}


def test_the_configuration_may_say_what_is_a_thing(coco: Path) -> None:
    """Then the JSONs need not."""
    for split in SPLITS:
        edit(json_of(coco, split), lambda c: [entry.pop("isthing") for entry in c["categories"]])
    config = config_of(coco)
    code, report = check(config)
    assert (code, report["counts"]) == (1, {"thing or stuff": 2})
    config.write_text(json.dumps(json.loads(config.read_text()) | {"categories": CATEGORIES}))
    code, report = check(config)
    assert (code, report["counts"]) == (0, {})


def test_the_statistics_counted_by_hand(coco: Path) -> None:
    """IDS has 5 pixels of car, 8 of road, 10 of sky and 1 of void; two such images train."""
    in_segment(1, iscrowd=1)(coco)
    statistics = check(config_of(coco))[1]["statistics"]["train"]
    assert statistics["images"] == statistics["annotated"] == 2
    assert statistics["pixels"] == 48
    assert statistics["void_share"] == pytest.approx(2 / 48)
    assert statistics["sizes"] == [{"height": 4, "width": 6, "images": 2}]
    assert statistics["instances_per_image"] == {"0": 1, "1": 1}
    assert statistics["classes"]["car"] == {
        "official_id": 20,
        "is_thing": True,
        "segments": 1,
        "crowds": 1,
        "images": 2,
        "pixels": 10,
        "smallest_area": 5,
        "median_area": 5.0,
        "largest_area": 5,
        "pixel_share": pytest.approx(10 / 48),
    }


def test_all_at_once(coco: Path) -> None:
    """Not one defect hides another, however many there are."""
    cut_short(image_of(coco, "1"))
    in_segment(1, area=99)(coco)
    in_segment(2, bbox=[0, 0, 1, 1])(coco)
    label_of(coco, "2").unlink()
    edit(json_of(coco, "val"), lambda c: c["annotations"][0]["segments_info"].pop(0))
    code, report = check(config_of(coco))
    assert code == 1
    assert report["counts"] == {
        "missing file": 1,
        "unreadable file": 1,
        "id not in JSON": 1,
        "wrong area": 1,
        "wrong box": 1,
        "class without segment": 1,  # the road of the only validation image
    }


def test_two_ids_that_the_json_lacks_are_two_findings(coco: Path) -> None:
    in_first(lambda annotation: annotation.update(segments_info=SEGMENTS[:1]))(coco)
    findings = check(config_of(coco))[1]["findings"]
    places = [(f["segment_id"], f["pixel_yx"]) for f in findings]
    assert places == [(SKY, [0, 0]), (CAR, [1, 3])]


def test_the_other_split_is_checked_where_one_cannot_be_opened(coco: Path) -> None:
    cut_short(json_of(coco, "train"))
    code, report = check(config_of(coco))
    assert code == 1
    assert report["statistics"].keys() == {"val"}


def test_few_examples_are_shown_and_all_are_in_the_json(
    coco: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for place in range(3):
        in_segment(place, area=99)(coco)
    report = check(config_of(coco), "--examples", "1")[1]
    shown = capsys.readouterr().out
    assert "error: wrong area: 3\n" in shown
    assert shown.count("has area 99 in the JSON") == 1
    assert "and 2 more" in shown
    assert len(report["findings"]) == 3


def test_one_split_alone(coco: Path) -> None:
    in_segment(1, area=99)(coco)
    assert check(config_of(coco), "--split", "val")[0] == 0
    assert check(config_of(coco), "--split", "train")[0] == 1


def test_images_to_look_at(coco: Path, tmp_path: Path) -> None:
    folder = tmp_path / "drawn"
    assert check(config_of(coco), "--save_dir", str(folder))[0] == 0
    assert {path.name for path in folder.iterdir()} == {"statistics.png", "samples.jpg"}
    chart = read_image(folder / "statistics.png").reshape(-1, 3)
    for category in CATEGORIES:
        assert (chart == category["color"]).all(axis=1).sum() > 100  # its bars
    sheet = read_image(folder / "samples.jpg")
    assert sheet.shape[1] > 1800  # two in a row


def test_names_in_other_letters_are_drawn(coco: Path, tmp_path: Path) -> None:
    """Two charts that differ in a Chinese letter alone differ: neither is a box for a letter."""
    charts = []
    for number, name in enumerate(("汽车", "汽水")):
        for split in SPLITS:
            edit(json_of(coco, split), lambda c, name=name: c["categories"][1].update(name=name))
        assert check(config_of(coco), "--save_dir", str(tmp_path / f"{number}"))[0] == 0
        charts.append(read_image(tmp_path / f"{number}" / "statistics.png"))
    assert (charts[0] != charts[1]).any()


def test_without_annotations_one_cannot_train_and_has_nothing_to_draw(
    coco: Path, tmp_path: Path
) -> None:
    for split in SPLITS:
        edit(json_of(coco, split), lambda content: content["annotations"].clear())
    folder = tmp_path / "drawn"
    code, report = check(config_of(coco), "--save_dir", str(folder))
    found = [(f["split"], f["severity"]) for f in report["findings"]]
    assert (code, found) == (1, [("train", "error"), ("val", "warning")])
    assert all("no image is annotated" in finding["cause"] for finding in report["findings"])
    assert report["statistics"]["val"]["annotated"] == 0
    assert list(folder.iterdir()) == []


def test_in_python_as_by_the_command(coco: Path, tmp_path: Path) -> None:
    in_segment(1, area=99)(coco)
    config = Config(config_of(coco))
    tree = copy.deepcopy(config.tree)
    report = check_dataset(config)
    assert config.tree == tree
    assert json.loads(json.dumps(report.to_dict())) == check(config_of(coco))[1]
    assert "has area 99 in the JSON" in report.to_text()
    assert [path.name for path in report.save_to_img(tmp_path)] == ["statistics.png", "samples.jpg"]


def test_in_python_one_split_that_is_there(coco: Path) -> None:
    path = config_of(coco)
    edit(path, lambda content: content.pop("train_dataset"))
    config = Config(path)
    assert [split.name for split in check_dataset(config).splits] == ["val"]
    with pytest.raises(UsageError, match="no section 'train_dataset' to check"):
        check_dataset(config, ["train"])


WRONG_USE = {
    "no such configuration": (["--config", "nowhere.yml"], "nowhere.yml"),
    "no such section": (["--split", "train", "--opts", "train_dataset=null"], "train_dataset"),
    "an unknown key": (["--opts", "val_dataset.color=1"], "color"),
}


@pytest.mark.parametrize("use", WRONG_USE)
def test_wrong_use(coco: Path, use: str, capsys: pytest.CaptureFixture[str]) -> None:
    options, message = WRONG_USE[use]
    assert main(["--config", str(config_of(coco)), *options]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


# --- the other kinds of data sets


def test_scenes_are_clean(scenes: Path, tmp_path: Path) -> None:
    """Street scenes in Cityscapes' layout; so few lack some classes, which is all there is."""
    code, report = check(config_of(Path(shutil.copytree(scenes, tmp_path / "data")), _CITY))
    assert code == 0
    assert report["counts"].keys() <= {"class without segment"}


_CITY = "CityscapesPanoptic"


def test_label_ids_where_train_ids_are_wanted(scenes: Path, tmp_path: Path) -> None:
    """One finding for the file, and all else is checked as if the ids were right."""
    root = Path(shutil.copytree(scenes, tmp_path / "data"))
    config = config_of(root, _CITY)
    before = check(config)[1]
    path = root / "gtFine" / "cityscapes_panoptic_train_trainId.json"

    def number_by_label_ids(content: dict[str, Any]) -> None:
        for annotation in content["annotations"]:
            for segment in annotation["segments_info"]:
                segment["category_id"] = LABEL_IDS[segment["category_id"]]
        for category in content["categories"]:
            category["id"] = LABEL_IDS[category["id"]]

    edit(path, number_by_label_ids)
    code, report = check(config)
    assert code == 1
    assert report["counts"] == before["counts"] | {"label ids": 1}
    assert report["findings"][0]["file"] == str(path)
    classes = report["statistics"]["train"]["classes"]
    assert {name: entry["pixels"] for name, entry in classes.items()} == {
        name: entry["pixels"] for name, entry in before["statistics"]["train"]["classes"].items()
    }


def test_an_image_that_cityscapes_annotations_leave_out(scenes: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(scenes, tmp_path / "data"))
    path = root / "leftImg8bit" / "train" / "stray_000000_000019_leftImg8bit.png"
    Image.new("RGB", (128, 64)).save(path)
    report = check(config_of(root, _CITY))[1]
    (finding,) = [f for f in report["findings"] if f["kind"] == "picture without annotation"]
    assert finding["file"] == str(path)


def bdd_bitmask(category: int = 35, attributes: int = 0) -> np.ndarray:
    """[4, 6, 4]: road (7) with a car, instance 31, of two pixels from (1, 2) on."""
    rgba = np.zeros((4, 6, 4), np.uint8)
    rgba[...] = (7, 0, 0, 7)
    rgba[1, 2:4] = (category, attributes, 0, 31)
    return rgba


def bdd(tmp_path: Path, bitmask: np.ndarray) -> Path:
    root = tmp_path / "data"
    for number, split in enumerate(SPLITS):
        images = root / "images" / "10k" / split
        bitmasks = root / "labels" / "pan_seg" / "bitmasks" / split
        for folder in (images, bitmasks):
            folder.mkdir(parents=True)
        Image.new("RGB", (6, 4), (200 * number, 0, 0)).save(images / f"{split}.jpg")
        Image.fromarray(bdd_bitmask()).save(bitmasks / f"{split}.png")
    Image.fromarray(bitmask).save(bitmasks / "val.png")
    return root


def several_attributes() -> np.ndarray:
    rgba = bdd_bitmask()
    rgba[1, 3, 1] = 4
    return rgba


BITMASKS = {
    "clean": (bdd_bitmask(), None),
    "an unknown category": (bdd_bitmask(41), ("unknown category", "41 at pixel (y 1, x 2)")),
    "one instance, two sorts": (several_attributes(), ("duplicate segment", "instance 31")),
    "a crowd of road": (
        np.where(bdd_bitmask()[..., :1] == 7, np.uint8([7, 2, 0, 7]), bdd_bitmask()),
        ("crowd of stuff", "segment 7 (road) is stuff"),
    ),
    "RGB": (bdd_bitmask()[..., :3], ("unreadable file", "expected an RGBA bitmask")),
    "another size": (bdd_bitmask()[:, :5], ("size mismatch", "is 5 x 4 pixels")),
}


@pytest.mark.parametrize("case", BITMASKS)
def test_bdd100k_bitmasks(tmp_path: Path, case: str) -> None:
    bitmask, expected = BITMASKS[case]
    code, report = check(config_of(bdd(tmp_path, bitmask), "Bdd100kPanoptic"))
    findings = [f for f in report["findings"] if f["kind"] != "class without segment"]
    if expected is None:
        assert (code, findings) == (0, [])
        return
    (finding,) = findings
    assert (finding["kind"], finding["split"]) == (expected[0], "val")
    assert finding["image_id"] == "val"
    assert finding["file"].endswith("bitmasks/val/val.png")
    assert expected[1] in finding["cause"]


def rectangle(left: int, right: int) -> list[dict[str, Any]]:
    corners = [[left, 0], [right, 0], [right, 4], [left, 4]]
    return [{"vertices": corners, "types": "LLLL", "closed": True}]


def label(number: int, category: str, left: int, right: int) -> dict[str, Any]:
    return {"id": f"{number}", "category": category, "poly2d": rectangle(left, right)}


LABELS = {
    "clean": ([label(1, "road", 0, 3), label(2, "car", 3, 6)], None),
    "overlapping": (
        [label(1, "road", 0, 4), label(2, "car", 3, 6)],
        ("overlap", "label 2 (car) covers 4 pixels of labels before it, first at pixel (y 0, x 3)"),
    ),
    "in two pieces that overlap": ([label(1, "road", 0, 4), label(2, "road", 3, 6)], None),
    "empty": (
        [label(1, "road", 0, 6), label(2, "car", 3, 3)],
        ("empty mask", "label 2 (car) has no pixel"),
    ),
    "of no class": (
        [label(1, "road", 0, 6), label(2, "raod", 3, 6)],
        ("unknown category", "label 2: 'raod' is no class"),
    ),
}


@pytest.mark.parametrize("case", LABELS)
def test_scalabel_json(tmp_path: Path, case: str) -> None:
    labels, expected = LABELS[case]
    root = bdd(tmp_path, bdd_bitmask())
    (root / "labels.json").write_text(json.dumps([{"name": "val.jpg", "labels": labels}]))
    config = config_of(root, "Bdd100kPanoptic")
    options = ["--split", "val", "--opts", "val_dataset.annotation_file=labels.json"]
    code, report = check(config, *options)
    findings = [f for f in report["findings"] if f["kind"] != "class without segment"]
    if expected is None:
        assert (code, findings) == (0, [])
        return
    (finding,) = findings
    assert finding["kind"] == expected[0]
    assert (finding["image_id"], finding["file"]) == ("val", str(root / "labels.json"))
    assert expected[1] in finding["cause"]


def test_kitti(tmp_path: Path) -> None:
    """Road (7) and a car (26001); in the validation split an id of a label that is none."""
    root = tmp_path / "data"
    ids = np.full((4, 6), 7, np.int32)
    ids[1, 2:4] = 26001
    for number, split in enumerate(SPLITS):
        for folder in ("images", "annotations"):
            (root / split / folder).mkdir(parents=True)
        Image.new("RGB", (6, 4), (number, 0, 0)).save(root / split / "images" / f"{split}.png")
        write_ids(root / split / "annotations" / f"{split}.png", ids)
    config = config_of(root, "KittiPanoptic")
    code, report = check(config)
    assert (code, report["counts"]) == (0, {"class without segment": 2 * 17})

    ids[1, 2] = 99001
    write_ids(root / "val" / "annotations" / "val.png", ids)
    code, report = check(config)
    assert code == 1
    finding = report["findings"][0]
    assert finding["kind"] == "unknown category"
    assert finding["pixel_yx"] == [1, 2]
    assert "id 99001" in finding["cause"]


# --- the parts


@pytest.mark.skipif(os.name != "posix", reason="names of files are bytes there")
def test_names_that_no_terminal_can_show(coco: Path, capsys: pytest.CaptureFixture) -> None:
    images = coco / "images" / "train"
    shutil.copy(image_of(coco, "1"), os.fsencode(images) + b"/\xff\x1b.png")
    entry = {"id": 99, "file_name": os.fsdecode(b"\xff\x1b.png")}
    edit(json_of(coco, "train"), lambda content: content["images"].append(entry))
    assert check(config_of(coco))[0] == 0
    shown = capsys.readouterr().out
    assert "image 99 (\\udcff\\x1b.png) has no annotation" in shown


def test_a_constructor_raises_what_a_check_collects(coco: Path) -> None:
    in_segment(1, category_id=21)(coco)
    with pytest.raises(DataError, match="category_id 21"):
        CocoPanoptic(str(coco), "train")
    with collecting_errors():
        assert [r.image_id for r in CocoPanoptic(str(coco), "train").records] == ["2"]


def test_help_needs_no_paddle() -> None:
    code = (
        "sys.modules['paddle'] = None; from panoptic_deeplab.cli import check; check.main(['-h'])"
    )
    paths = [str(PACKAGE.parent)]
    shown = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {paths}; {code}"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "label ids" in " ".join(shown.split())
    assert "Exit code" in shown
