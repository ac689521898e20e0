"""Conversions keep every pixel's owner, there and back, or end with one line and no file."""

from __future__ import annotations

import errno
import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cityscapesscripts.preparation.createPanopticImgs import convert2panoptic
from PIL import Image

from panoptic_deeplab.cli import convert as convert_dataset
from panoptic_deeplab.convert import run
from panoptic_deeplab.convert.sources import open_coco_panoptic
from panoptic_deeplab.convert.targets import CocoPanopticTarget
from panoptic_deeplab.formats.bdd100k import BDD100K, read_bitmask, write_bitmask
from panoptic_deeplab.formats.cityscapes import CITYSCAPES
from panoptic_deeplab.formats.coco import (
    read_info,
    read_panoptic_file,
    read_panoptic_map,
    segments_info,
    write_panoptic_json,
)
from panoptic_deeplab.formats.images import write_ids
from panoptic_deeplab.formats.scalabel import frame_entry, write_frames
from panoptic_deeplab.id_maps import measure_ids
from panoptic_deeplab.structures import DatasetInfo, PanopticMap, Segment

Described = list[tuple[str, bool, list[list[int]]]]
"""Of each segment its class, whether it is a crowd, and its mask; sorted."""

BOTH = ("road", "sky", "vegetation", "car", "person")
"""Classes that Cityscapes and BDD100K share, numbered otherwise in each."""


def convert(*arguments: str | Path) -> int:
    return convert_dataset.main([*map(str, arguments), "--num_workers", "1"])


def described(panoptic: PanopticMap, info: DatasetInfo) -> Described:
    return sorted(
        (
            info.categories[segment.category].name,
            segment.iscrowd,
            (panoptic.ids == segment.id).astype(int).tolist(),
        )
        for segment in panoptic.segments
    )


def read_coco(json_file: Path) -> dict[str, Described]:
    """Image id -> its segments; areas and boxes in the JSON are checked on the way."""
    info = read_info(json_file)
    content = {}
    for annotation in read_panoptic_file(json_file, info).annotations:
        png = json_file.with_suffix("") / annotation.file_name
        panoptic = read_panoptic_map(png, annotation.segments)
        measures = measure_ids(panoptic.ids)
        areas = dict(zip(measures.ids.tolist(), measures.areas.tolist(), strict=True))
        assert {s.id: s.area for s in annotation.segments} == {
            number: area for number, area in areas.items() if number
        }
        content[annotation.image_id] = described(panoptic, info)
    return content


def random_map(rng: np.random.Generator, info: DatasetInfo) -> PanopticMap:
    """Void, several things of a class, at most one segment for each stuff class and crowd."""
    names = [category.name for category in info.categories]
    segments, number = [], 5
    for name in BOTH:
        category = names.index(name)
        is_thing = info.categories[category].is_thing
        for iscrowd in [False, False, True] if is_thing else [False]:
            number += int(rng.integers(1, 90_000))
            segments.append(Segment(number, category, iscrowd))
    values = np.array([0, *(segment.id for segment in segments)], np.int32)
    ids = np.kron(rng.permutation(np.resize(values, 48)).reshape(6, 8), np.ones((2, 3), np.int32))
    return PanopticMap(ids, segments)


def write_coco(root: Path, name: str, info: DatasetInfo, maps: dict[str, PanopticMap]) -> Path:
    images, annotations = [], []
    for image_id, panoptic in maps.items():
        write_ids(root / name / f"{image_id}.png", panoptic.ids)
        height, width = panoptic.ids.shape
        image = {"id": image_id, "file_name": f"{image_id}.jpg", "height": height, "width": width}
        images.append(image)
        entries = segments_info(panoptic.ids, panoptic.segments, info)
        for entry in entries:
            entry["area"] = int((panoptic.ids == entry["id"]).sum())
        annotations.append(
            {"image_id": image_id, "file_name": f"{image_id}.png", "segments_info": entries}
        )
    write_panoptic_json(root / f"{name}.json", images, annotations, info)
    return root / f"{name}.json"


@pytest.fixture
def coco(tmp_path: Path) -> Path:
    """A small data set in COCO panoptic form, with Cityscapes' classes."""
    rng = np.random.default_rng(0)
    maps = {name: random_map(rng, CITYSCAPES) for name in ("one", "town_000003_000019")}
    return write_coco(tmp_path / "source", "val", CITYSCAPES, maps)


def nothing_left(folder: Path) -> bool:
    """Whether neither results nor temporary files are there."""
    return not folder.exists() or not [path for path in folder.rglob("*") if path.is_file()]


# There and back.


def test_to_cityscapes_and_back(coco: Path, tmp_path: Path) -> None:
    assert convert("to-cityscapes", "--json", coco, "--save_dir", tmp_path / "there") == 0
    folder = tmp_path / "there" / "gtFine" / "val"
    assert sorted(str(path.relative_to(folder)) for path in folder.rglob("*.png")) == [
        "images/one_gtFine_instanceIds.png",
        "images/one_gtFine_labelIds.png",
        "town/town_000003_000019_gtFine_instanceIds.png",
        "town/town_000003_000019_gtFine_labelIds.png",
    ]
    back = ("--dataset_root", tmp_path / "there", "--split", "val", "--save_dir", tmp_path / "back")
    assert convert("from-cityscapes", *back) == 0
    assert read_coco(tmp_path / "back" / "val.json") == read_coco(coco)


def test_to_bdd100k_and_back(coco: Path, tmp_path: Path) -> None:
    assert convert("to-bdd100k", "--json", coco, "--save_dir", tmp_path / "there") == 0
    bitmasks = tmp_path / "there/labels/pan_seg/bitmasks/val"
    assert convert("from-bdd100k", "--folder", bitmasks, "--save_dir", tmp_path / "back") == 0
    assert read_coco(tmp_path / "back" / "val.json") == read_coco(coco)
    again = ("--json", tmp_path / "back" / "val.json", "--save_dir", tmp_path / "again")
    assert convert("to-bdd100k", *again) == 0
    for path in bitmasks.iterdir():
        second = tmp_path / "again/labels/pan_seg/bitmasks/val" / path.name
        assert described(read_bitmask(second), BDD100K) == described(read_bitmask(path), BDD100K)


def test_scalabel_and_bitmasks_give_the_same(tmp_path: Path) -> None:
    panoptic = random_map(np.random.default_rng(1), BDD100K)
    write_bitmask(tmp_path / "bitmasks" / "a.png", panoptic)
    write_frames(tmp_path / "a.json", [frame_entry("a.jpg", panoptic, BDD100K)])
    out = ("--save_dir", tmp_path / "out")
    assert convert("from-bdd100k", "--folder", tmp_path / "bitmasks", *out) == 0
    assert convert("from-scalabel", "--json", tmp_path / "a.json", *out) == 0
    expected = {"a": described(panoptic, BDD100K)}
    assert read_coco(tmp_path / "out" / "bitmasks.json") == expected
    assert read_coco(tmp_path / "out" / "a.json") == expected
    (image,) = json.loads((tmp_path / "out" / "a.json").read_text())["images"]
    assert image == {"id": "a", "file_name": "a.jpg", "height": 12, "width": 24}


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("source", ["instanceIds", "polygons"])
def test_cityscapes_gives_what_cityscapesscripts_gives(
    scenes: Path, tmp_path: Path, source: str, workers: int, capsys: pytest.CaptureFixture
) -> None:
    root = tmp_path / "root"
    shutil.copytree(scenes / "gtFine" / "val", root / "gtFine" / "val")
    convert2panoptic(str(root / "gtFine"), str(tmp_path), useTrainId=True, setNames=["val"])
    for path in root.rglob("*_instanceIds.png" if source == "polygons" else "*_polygons.json"):
        path.unlink()
    arguments = ["--dataset_root", root, "--split", "val", "--save_dir", tmp_path]
    arguments += ["--num_workers", workers]
    assert convert_dataset.main(["from-cityscapes", *map(str, arguments)]) == 0
    official = json.loads((tmp_path / "cityscapes_panoptic_val_trainId.json").read_text())
    ours = json.loads((tmp_path / "val.json").read_text())
    assert [image["id"] for image in ours["images"]] == [i["id"] for i in official["images"]]
    for image in ours["images"]:  # such a file exists, other than in the official JSON
        assert (scenes / "leftImg8bit" / "val" / image["file_name"]).is_file()
    for one, other in zip(ours["annotations"], official["annotations"], strict=True):
        segments = [dict(entry) for entry in one["segments_info"]]
        assert all(entry.pop("isthing") in (0, 1) for entry in segments)
        assert segments == other["segments_info"]
        with (
            Image.open(tmp_path / "val" / one["file_name"]) as ours_png,
            Image.open(
                tmp_path / "cityscapes_panoptic_val_trainId" / other["file_name"]
            ) as official_png,
        ):
            assert ours_png.tobytes() == official_png.tobytes()


def test_kitti_keeps_crowds_and_instances(tmp_path: Path) -> None:
    road, car = 7, 26
    ids = np.array([[road, road, car, 0], [car * 1000, car * 1000 + 1, 1, 3]], np.int32)
    write_ids(tmp_path / "training" / "annotations" / "000001_10.png", ids)
    out = ("--save_dir", tmp_path / "out")
    assert convert("from-kitti", "--dataset_root", tmp_path, "--split", "training", *out) == 0
    assert read_coco(tmp_path / "out" / "training.json") == {
        "000001_10": [
            ("car", False, [[0, 0, 0, 0], [0, 1, 0, 0]]),
            ("car", False, [[0, 0, 0, 0], [1, 0, 0, 0]]),
            ("car", True, [[0, 0, 1, 0], [0, 0, 0, 0]]),
            ("road", False, [[1, 1, 0, 0], [0, 0, 0, 0]]),
        ]
    }


def test_parts_of_stuff_in_a_bitmask_become_one_segment_and_none_is_lost(tmp_path: Path) -> None:
    road, car = 7, 35
    rgba = [  # (category, attributes, id // 256, id % 256); the road has the ids 7, 300 and, as a
        [(road, 0, 0, 7), (road, 0, 1, 44), (road, 0b10, 1, 45)],  # crowd, 301
        [(car, 0, 0, 31), (car, 0b01, 0, 32), (0, 0, 0, 0)],  # the second car is ignored
    ]
    (tmp_path / "val").mkdir()
    Image.fromarray(np.array(rgba, np.uint8)).save(tmp_path / "val" / "a.png")
    assert (
        convert("from-bdd100k", "--folder", tmp_path / "val", "--save_dir", tmp_path / "out") == 0
    )
    assert read_coco(tmp_path / "out" / "val.json")["a"] == [
        ("car", False, [[0, 0, 0], [1, 0, 0]]),
        ("car", True, [[0, 0, 0], [0, 1, 0]]),
        ("road", False, [[1, 1, 0], [0, 0, 0]]),
        ("road", True, [[0, 0, 1], [0, 0, 0]]),
    ]


def test_the_classes_of_a_json_without_categories_come_from_another(
    coco: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    content = json.loads(coco.read_text())
    (tmp_path / "classes.json").write_text(json.dumps(content.pop("categories")))
    shutil.copytree(coco.with_suffix(""), tmp_path / "val")
    bare = tmp_path / "val.json"
    bare.write_text(json.dumps(content))
    arguments = ("to-bdd100k", "--json", bare, "--save_dir", tmp_path / "there")
    assert convert(*arguments) == 1
    assert "expected a list under 'categories'" in capsys.readouterr().err
    assert convert(*arguments, "--classes", tmp_path / "classes.json") == 0
    bitmasks = tmp_path / "there/labels/pan_seg/bitmasks/val"
    assert convert("from-bdd100k", "--folder", bitmasks, "--save_dir", tmp_path / "back") == 0
    assert read_coco(tmp_path / "back" / "val.json") == read_coco(coco)


# Objects painted one over the other.


def box(left: int, top: int, right: int, bottom: int) -> list[float]:
    """The polygon of a box whose right and bottom are exclusive, as pycocotools fills it."""
    return [left, top, right, top, right, bottom, left, bottom]


def instances(path: Path, *objects: dict[str, Any], **changes: Any) -> Path:
    content = {
        "images": [{"id": 5, "file_name": "a.jpg", "height": 2, "width": 4}],
        "annotations": [
            {"id": number, "image_id": 5, "category_id": 3} | entry
            for number, entry in enumerate(objects)
        ],
        "categories": [{"id": 3, "name": "cat"}, {"id": 8, "name": "dog"}],
    }
    path.write_text(json.dumps(content | changes))
    return path


LARGE = {"segmentation": [box(0, 0, 4, 1)], "category_id": 3}
SMALL = {"segmentation": [box(1, 0, 2, 1), box(3, 0, 4, 2)], "category_id": 8}


@pytest.mark.parametrize(
    ("overlap", "objects", "cat"),
    [
        ("last", [LARGE, SMALL], [1, 0, 1, 0]),
        ("last", [SMALL, LARGE], [1, 1, 1, 1]),
        ("first", [LARGE, SMALL], [1, 1, 1, 1]),
        ("first", [SMALL, LARGE], [1, 0, 1, 0]),
        ("small_on_top", [LARGE, SMALL], [1, 0, 1, 0]),
        ("small_on_top", [SMALL, LARGE], [1, 0, 1, 0]),
        ("small_on_top", [LARGE, SMALL | {"iscrowd": 1}], [1, 1, 1, 1]),  # crowds are lowest
    ],
)
def test_who_covers_whom(tmp_path: Path, overlap: str, objects: list, cat: list[int]) -> None:
    source = instances(tmp_path / "a.json", *objects)
    out = ("--save_dir", tmp_path / "out", "--overlap", overlap)
    assert convert("from-coco-instances", "--json", source, *out) == 0
    content = read_coco(tmp_path / "out" / "a.json")["5"]
    masks = {name: mask for name, _, mask in content}
    assert masks["cat"] == [cat, [0, 0, 0, 0]]
    # Both parts of the dog are one segment, but for what is covered.
    assert masks["dog"] == [[0, 1 - cat[1], 0, 1 - cat[3]], [0, 0, 0, 1]]


def test_categories_that_the_json_calls_stuff_are_joined(tmp_path: Path) -> None:
    parts = [{"segmentation": [box(x, 0, x + 1, 1)]} for x in (0, 2)]
    grass = [{"id": 3, "name": "grass", "isthing": 0}]
    source = instances(tmp_path / "a.json", *parts, categories=grass)
    assert convert("from-coco-instances", "--json", source, "--save_dir", tmp_path / "out") == 0
    whole = ("grass", False, [[1, 0, 1, 0], [0, 0, 0, 0]])
    assert read_coco(tmp_path / "out" / "a.json") == {"5": [whole]}


def test_instances_over_a_semantic_map(tmp_path: Path) -> None:
    source = instances(tmp_path / "a.json", {"segmentation": [box(0, 0, 1, 2)]})
    (tmp_path / "semantic").mkdir()
    values = np.array([[0, 0, 1, 1], [2, 2, 255, 0]], np.uint8)  # 2 is the cat, beside the object
    Image.fromarray(values).save(tmp_path / "semantic" / "a.png")
    out = ("--save_dir", tmp_path / "out", "--semantic", tmp_path / "semantic")
    stuff = ("--semantic_classes", "grass,sky,cat")
    assert convert("from-coco-instances", "--json", source, *out, *stuff) == 0
    assert read_coco(tmp_path / "out" / "a.json")["5"] == [
        ("cat", False, [[1, 0, 0, 0], [1, 0, 0, 0]]),
        ("grass", False, [[0, 1, 0, 0], [0, 0, 0, 1]]),
        ("sky", False, [[0, 0, 1, 1], [0, 0, 0, 0]]),
    ]
    categories = json.loads((tmp_path / "out" / "a.json").read_text())["categories"]
    assert [(c["id"], c["name"], c["isthing"]) for c in categories] == [
        (3, "cat", 1),
        (8, "dog", 1),
        (9, "grass", 0),
        (10, "sky", 0),
    ]


def test_names_of_a_semantic_map_in_a_json(tmp_path: Path) -> None:
    source = instances(tmp_path / "a.json")
    (tmp_path / "semantic").mkdir()
    Image.fromarray(np.array([[7] * 4, [9] * 4], np.uint8)).save(tmp_path / "semantic" / "a.png")
    (tmp_path / "names.json").write_text('{"7": "sky"}')
    out = ("--save_dir", tmp_path / "out", "--semantic", tmp_path / "semantic")
    arguments = ("--json", source, *out, "--semantic_classes", tmp_path / "names.json")
    assert convert("from-coco-instances", *arguments) == 1  # 9 has no name
    assert nothing_left(tmp_path / "out")
    assert convert("from-coco-instances", *arguments, "--ignore_unknown") == 0
    sky = ("sky", False, [[1] * 4, [0] * 4])
    assert read_coco(tmp_path / "out" / "a.json") == {"5": [sky]}


def labelme(folder: Path, *shapes: tuple[str, list[float], dict[str, Any]]) -> None:
    """A JSON and its image of 2 x 4 pixels; the shapes are (label, box, more), inclusive."""
    folder.mkdir(parents=True, exist_ok=True)
    entries = [
        {"label": label, "shape_type": "rectangle", "points": [corners[:2], corners[2:]]} | more
        for label, corners, more in shapes
    ]
    (folder / "a.json").write_text(json.dumps({"shapes": entries, "imagePath": "../../b.jpg"}))
    Image.new("RGB", (4, 2)).save(folder / "a.png")


def test_labelme_shapes_groups_crowds_and_gaps(tmp_path: Path) -> None:
    labelme(
        tmp_path / "labels" / "day",
        ("road", [0, 0, 1, 0], {}),
        ("road", [0, 1, 0, 1], {}),  # one stuff segment with the first
        ("car", [1, 0, 1, 0], {"group_id": 1}),  # covers the road
        ("car", [3, 0, 3, 0], {"group_id": 1}),  # the same car
        ("car", [2, 0, 2, 0], {}),
        ("cargroup", [2, 1, 2, 1], {}),
        ("car", [3, 1, 3, 1], {"flags": {"crowd": True}}),  # one crowd with it
        ("__ignore__", [0, 1, 0, 1], {}),  # a hole in the road
    )
    out = ("--save_dir", tmp_path / "out", "--name", "train")
    classes = ("--things", "car,person", "--stuff", "road")
    assert convert("from-labelme", "--folder", tmp_path / "labels", *classes, *out) == 0
    assert read_coco(tmp_path / "out" / "train.json") == {
        "day/a": [
            ("car", False, [[0, 0, 1, 0], [0, 0, 0, 0]]),
            ("car", False, [[0, 1, 0, 1], [0, 0, 0, 0]]),
            ("car", True, [[0, 0, 0, 0], [0, 0, 1, 1]]),
            ("road", False, [[1, 0, 0, 0], [0, 0, 0, 0]]),
        ]
    }
    (image,) = json.loads((tmp_path / "out" / "train.json").read_text())["images"]
    assert image["file_name"] == "day/a.png"


def test_an_unknown_label_is_named_or_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    labelme(tmp_path / "labels", ("road", [0, 0, 3, 1], {}), ("cra", [0, 0, 0, 0], {}))
    (tmp_path / "classes.yml").write_text(
        "categories: [{name: road, isthing: 0, color: [1, 2, 3]}, {name: car, isthing: 1}]"
    )
    arguments = ("--folder", tmp_path / "labels", "--classes", tmp_path / "classes.yml")
    out = ("--save_dir", tmp_path / "out")
    assert convert("from-labelme", *arguments, *out) == 1
    (line,) = [x for x in capsys.readouterr().err.splitlines() if x.startswith("error: ")]
    assert "a.json: shape 1: the label 'cra' is none of the 2 classes" in line
    assert "did you mean" in line
    assert nothing_left(tmp_path / "out")
    assert convert("from-labelme", *arguments, *out, "--ignore_unknown") == 0
    whole = ("road", False, [[1] * 4] * 2)
    assert read_coco(tmp_path / "out" / "labels.json") == {"a": [whole]}
    info = read_info(tmp_path / "out" / "labels.json")
    assert info.categories[0].color == (1, 2, 3)


# What cannot be converted.


def test_a_class_that_the_target_lacks_is_named_or_made_void(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    names = [category.name for category in BDD100K.categories]
    panoptic = PanopticMap(
        np.array([[1, 2]], np.int32),
        [Segment(1, names.index("car")), Segment(2, names.index("lane divider"))],
    )
    source = write_coco(tmp_path, "val", BDD100K, {"a": panoptic})
    arguments = ("to-cityscapes", "--json", source, "--save_dir", tmp_path / "out")
    assert convert(*arguments) == 1
    assert "a.jpg: segment 2 is of the class 'lane divider'" in capsys.readouterr().err
    assert nothing_left(tmp_path / "out")
    assert convert(*arguments, "--ignore_unknown") == 0
    with Image.open(next(tmp_path.rglob("*_instanceIds.png"))) as image:
        assert np.asarray(image).tolist() == [[26000, 0]]


@pytest.mark.parametrize(
    "name", ["../a.jpg", "/etc/a.jpg", "C:a.jpg", "\\a.jpg", "b/../../a.jpg", "", "a\n"]
)
def test_a_name_that_leaves_its_folder_is_refused(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture
) -> None:
    image = {"id": 5, "file_name": name, "height": 2, "width": 4}
    source = instances(tmp_path / "a.json", images=[image])
    assert convert("from-coco-instances", "--json", source, "--save_dir", tmp_path / "out") == 1
    assert "names must be relative and without '..'" in capsys.readouterr().err
    assert nothing_left(tmp_path / "out")


def test_a_link_out_of_the_folder_is_followed(coco: Path, tmp_path: Path) -> None:
    png = coco.with_suffix("") / "one.png"
    png.rename(tmp_path / "elsewhere.png")
    png.symlink_to(tmp_path / "elsewhere.png")
    assert convert("to-bdd100k", "--json", coco, "--save_dir", tmp_path / "out") == 0


def test_two_images_of_one_name_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    images = [
        {"id": number, "file_name": name, "height": 2, "width": 4}
        for number, name in enumerate(["a.jpg", "a.png"])
    ]
    source = instances(tmp_path / "a.json", images=images)
    assert convert("from-coco-instances", "--json", source, "--save_dir", tmp_path / "out") == 1
    assert (
        "'a.jpg' (id 0) and 'a.png' (id 1) would be written to one PNG" in capsys.readouterr().err
    )


def test_nothing_is_overwritten_unless_asked(
    coco: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    arguments = ("to-bdd100k", "--json", coco, "--save_dir", tmp_path / "out")
    assert convert(*arguments) == 0
    assert convert(*arguments) == 2
    assert "exists already; choose another --save_dir or --name" in capsys.readouterr().err
    assert convert(*arguments, "--overwrite") == 0
    assert not list((tmp_path / "out").rglob(".part*"))
    (tmp_path / "out/labels/pan_seg/bitmasks/val/notes.txt").write_text("mine")
    assert convert(*arguments, "--overwrite") == 2
    assert "notes.txt was not made by a conversion" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["again/one.png", "again/deep/mine.png", "again.json"])
def test_what_no_conversion_wrote_is_never_replaced(
    coco: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture
) -> None:
    """Even if it has the name of a file that would be written."""
    bdd, out = tmp_path / "bdd", tmp_path / "out"
    convert("to-bdd100k", "--json", coco, "--save_dir", bdd)
    folder = bdd / "labels" / "pan_seg" / "bitmasks" / coco.stem
    mine = out / name
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    capsys.readouterr()
    arguments = ["from-bdd100k", "--folder", folder, "--save_dir", out, "--name", "again"]
    assert convert(*arguments, "--overwrite") == 2
    assert f"{Path(name).name} was not made by a conversion" in capsys.readouterr().err
    assert mine.read_text() == "mine"


def test_remains_of_a_killed_conversion_go_with_the_next(coco: Path, tmp_path: Path) -> None:
    place = tmp_path / "out" / "labels" / "pan_seg" / "bitmasks"
    for name in (".part.val.abcd_123", ".part.train.abcd_123"):
        (place / name).mkdir(parents=True)
    assert convert("to-bdd100k", "--json", coco, "--save_dir", tmp_path / "out") == 0
    held = sorted(path.name for path in place.iterdir())
    assert held == [".part.train.abcd_123", ".val.conversion.json", "val"]


def test_a_broken_file_is_named_and_nothing_is_written(
    coco: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (coco.with_suffix("") / "town_000003_000019.png").write_bytes(b"no image")
    assert convert("to-cityscapes", "--json", coco, "--save_dir", tmp_path / "out") == 1
    (line,) = [x for x in capsys.readouterr().err.splitlines() if x.startswith("error: ")]
    assert "town_000003_000019.png: not a readable image" in line
    assert nothing_left(tmp_path / "out")


def test_functions_convert_in_any_thread(coco: Path, tmp_path: Path) -> None:
    source = open_coco_panoptic(coco, None, None)
    target = CocoPanopticTarget(tmp_path / "again", "val", source.info)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(run.convert, source, target).result()
    assert read_coco(target.summary) == read_coco(coco)


def test_without_room_for_the_json_the_pngs_do_not_appear_either(
    coco: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    convert("to-bdd100k", "--json", coco, "--save_dir", tmp_path / "bdd")
    folder = tmp_path / "bdd" / "labels" / "pan_seg" / "bitmasks" / coco.stem

    def full(target: CocoPanopticTarget, entries: list, path: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(CocoPanopticTarget, "summarize", full)
    capsys.readouterr()
    assert convert("from-bdd100k", "--folder", folder, "--save_dir", tmp_path / "out") == 1
    assert f"error: {tmp_path}/out/{coco.stem}.json: no space left" in capsys.readouterr().err
    assert nothing_left(tmp_path / "out")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["from-cityscapes", "--dataset_root", "{root}", "--split", "val"], 1, "holds no {city}"),
        (["from-kitti", "--dataset_root", "{root}", "--split", "val"], 1, "found none"),
        (["from-bdd100k", "--folder", "{root}"], 1, "found none"),
        (["from-labelme", "--folder", "{root}", "--things", "a"], 1, "found none"),
        (["from-labelme", "--folder", "{root}"], 2, "the classes are needed"),
        (["from-labelme", "--folder", "{root}", "--things", "a,a"], 2, "share the name 'a'"),
        (["from-labelme", "--folder", "{root}", "--things", "__ignore__"], 2, "cannot be a class"),
        (["from-labelme", "--folder", "{root}", "--classes", "{root}/x"], 1, "no such file"),
        (["from-coco-instances", "--json", "{root}/x", "--semantic", "y"], 2, "belong together"),
        (["from-coco-instances", "--json", "{root}/x"], 1, "no such file"),
        (["from-scalabel", "--json", "{root}/x"], 1, "no such file"),
        (["from-scalabel", "--json", "x", "--size", "999999", "1"], 2, "expected sides of"),
        (["to-cityscapes", "--json", "{root}/x"], 1, "no such file"),
        (["to-bdd100k", "--json", "{root}"], 1, "expected a file, got a folder"),
    ],
    ids=lambda value: " ".join(value[:4]) if isinstance(value, list) else None,
)
def test_mistakes_are_told_in_one_line(
    tmp_path: Path,
    arguments: list[str],
    code: int,
    message: str,
    capsys: pytest.CaptureFixture,
) -> None:
    given = [argument.replace("{root}", str(tmp_path)) for argument in arguments]
    assert convert_dataset.main([*given, "--save_dir", str(tmp_path / "out")]) == code
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert message in told
    assert nothing_left(tmp_path / "out")


def test_an_unknown_label_of_scalabel(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    rle = {"size": [1, 2], "counts": [0, 1, 1]}
    labels = [
        {"id": "1", "category": "car", "rle": rle},
        {"id": "2", "category": "spaceship", "rle": rle},
    ]
    (tmp_path / "a.json").write_text(json.dumps([{"name": "a.jpg", "labels": labels}]))
    arguments = ("from-scalabel", "--json", tmp_path / "a.json", "--save_dir", tmp_path / "out")
    assert convert(*arguments) == 1
    assert "frame a.jpg: 'spaceship' is no class of BDD100K" in capsys.readouterr().err
    assert convert(*arguments, "--ignore_unknown") == 0
    assert read_coco(tmp_path / "out" / "a.json") == {"a": [("car", False, [[1, 0]])]}


def test_polygons_of_scalabel_need_the_size(tmp_path: Path) -> None:
    outline = {"vertices": [[0, 0], [2, 0], [2, 1], [0, 1]], "types": "LLLL", "closed": True}
    label = {"id": "x-01", "category": "sky", "poly2d": [outline]}
    (tmp_path / "a.json").write_text(json.dumps([{"name": "a.jpg", "labels": [label]}]))
    out = ("--save_dir", tmp_path / "out", "--size", 3, 2)
    assert convert("from-scalabel", "--json", tmp_path / "a.json", *out) == 0
    sky = ("sky", False, [[1, 1, 0], [0, 0, 0]])
    assert read_coco(tmp_path / "out" / "a.json") == {"a": [sky]}
