"""What is written in each form is read back by us and, where it is installed, by the library."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from cityscapesscripts.preparation.createPanopticImgs import convert2panoptic
from PIL import Image
from pycocotools import mask as coco_mask

from panoptic_deeplab.errors import DataError
from panoptic_deeplab.formats.bdd100k import BDD100K, read_bitmask, write_bitmask
from panoptic_deeplab.formats.cityscapes import (
    CITYSCAPES,
    instance_id_map,
    label_id_map,
    panoptic_of_instance_ids,
    read_instance_ids,
)
from panoptic_deeplab.formats.images import read_ids, write_image
from panoptic_deeplab.formats.scalabel import decode_mask, frame_entry, read_frames, write_frames
from panoptic_deeplab.structures import PanopticMap, Segment

ROAD, SKY, CAR = (
    [category.name for category in BDD100K.categories].index(name)
    for name in ("road", "sky", "car")
)
MAP = PanopticMap(
    np.array([[0, 1, 1, 9], [2, 2, 70_000, 9], [4, 4, 5, 5]], np.int32),
    [
        Segment(1, ROAD),
        Segment(9, SKY),
        Segment(2, CAR),
        Segment(70_000, CAR, iscrowd=True),
        Segment(4, ROAD),  # a second part of the road
        Segment(5, CAR),
    ],
)


def kinds(panoptic: PanopticMap) -> dict[tuple[int, bool, int], int]:
    """(category, crowd, pixels) -> how many segments are so: what remains of a map when renamed."""
    found: dict[tuple[int, bool, int], int] = {}
    for segment in panoptic.segments:
        kind = (segment.category, segment.iscrowd, int((panoptic.ids == segment.id).sum()))
        found[kind] = found.get(kind, 0) + 1
    return found


def test_a_bitmask_holds_category_crowd_and_instance(tmp_path: Path) -> None:
    write_bitmask(tmp_path / "a.png", MAP)
    with Image.open(tmp_path / "a.png") as image:
        assert image.mode == "RGBA"
        rgba = np.asarray(image)
    road, sky, car = 7, 30, 35  # BDD100K's numbers; stuff has them as instance number too
    assert rgba.tolist() == [
        [[0, 0, 0, 0], [road, 0, 0, 7], [road, 0, 0, 7], [sky, 0, 0, 30]],
        [[car, 0, 0, 31], [car, 0, 0, 31], [car, 0b10, 0, 32], [sky, 0, 0, 30]],
        [[road, 0, 0, 7], [road, 0, 0, 7], [car, 0, 0, 33], [car, 0, 0, 33]],
    ]
    again = read_bitmask(tmp_path / "a.png")
    assert kinds(again) == {
        (ROAD, False, 4): 1,
        (SKY, False, 2): 1,
        (CAR, False, 2): 2,
        (CAR, True, 1): 1,
    }


def test_instances_of_a_bitmask_above_255_go_into_two_bytes(tmp_path: Path) -> None:
    ids = np.arange(1, 301, dtype=np.int32)[np.newaxis]
    write_bitmask(tmp_path / "a.png", PanopticMap(ids, [Segment(i, CAR) for i in range(1, 301)]))
    assert read_bitmask(tmp_path / "a.png").ids.tolist() == [list(range(31, 331))]


def test_a_bitmask_keeps_a_crowd_of_stuff_apart(tmp_path: Path) -> None:
    panoptic = PanopticMap(
        np.array([[1, 2]], np.int32), [Segment(1, ROAD), Segment(2, ROAD, iscrowd=True)]
    )
    write_bitmask(tmp_path / "a.png", panoptic)
    assert kinds(read_bitmask(tmp_path / "a.png")) == kinds(panoptic)


@pytest.mark.parametrize(
    ("segments", "message"),
    [
        ([Segment(i, CAR) for i in range(1, 65_507)], "65506 instances, but .* at most 65505"),
        ([Segment(1, 40)], "class 40; BDD100K has 0..39"),
        ([Segment(1, -1)], "class -1"),
    ],
)
def test_what_a_bitmask_cannot_hold_is_refused(
    tmp_path: Path, segments: list[Segment], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        write_bitmask(tmp_path / "a.png", PanopticMap(np.ones((1, 1), np.int32), segments))
    assert list(tmp_path.iterdir()) == []


def test_cityscapes_ids_of_a_map_with_other_class_numbers() -> None:
    assert label_id_map(MAP, BDD100K).tolist() == [
        [0, 7, 7, 23],
        [26, 26, 26, 23],
        [7, 7, 26, 26],
    ]
    ids = instance_id_map(MAP, BDD100K)
    assert ids.dtype == np.uint16
    assert ids.tolist() == [
        [0, 7, 7, 23],
        [26000, 26000, 26, 23],  # the crowd is the plain label id
        [7, 7, 26001, 26001],
    ]
    assert kinds(panoptic_of_instance_ids(ids, "a.png")) == {
        (0, False, 4): 1,
        (10, False, 2): 1,
        (13, False, 2): 2,
        (13, True, 1): 1,
    }


def test_written_instance_ids_are_read_by_cityscapesscripts(tmp_path: Path) -> None:
    folder = tmp_path / "val" / "town"
    folder.mkdir(parents=True)
    name = folder / "town_000000_000019_gtFine_instanceIds.png"
    write_image(name, instance_id_map(MAP, BDD100K))
    convert2panoptic(str(tmp_path), str(tmp_path), useTrainId=True, setNames=["val"])
    result = tmp_path / "cityscapes_panoptic_val_trainId.json"
    (annotation,) = json.loads(result.read_text())["annotations"]
    official = [
        Segment(s["id"], s["category_id"], bool(s["iscrowd"]), s["area"])
        for s in annotation["segments_info"]
    ]
    ours = panoptic_of_instance_ids(read_instance_ids(name), name)
    assert list(ours.segments) == official
    pixels = read_ids(result.with_suffix("") / annotation["file_name"])
    np.testing.assert_array_equal(ours.ids, pixels)


def test_a_class_that_cityscapes_lacks_is_refused() -> None:
    lane = [category.name for category in BDD100K.categories].index("lane divider")
    with pytest.raises(DataError, match="'lane divider' is no class of Cityscapes"):
        label_id_map(PanopticMap(np.ones((1, 1), np.int32), [Segment(1, lane)]), BDD100K)


def test_more_than_a_thousand_instances_are_refused() -> None:
    cars = PanopticMap(np.ones((1, 1), np.int32), [Segment(i, 13) for i in range(1, 1002)])
    with pytest.raises(DataError, match="more than 1000 instances of car"):
        instance_id_map(cars, CITYSCAPES)


def test_broken_instance_ids_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"id 77 at pixel \(y 1, x 0\) is no instance id"):
        panoptic_of_instance_ids(np.array([[7, 7], [77, 26001]]), "a.png")
    Image.new("RGB", (2, 2)).save(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"a\.png: .* one channel .* got 3 channels"):
        read_instance_ids(tmp_path / "a.png")


def test_frames_are_read_back_by_us_and_by_pycocotools(tmp_path: Path) -> None:
    sure = [Segment(2, CAR, score=0.5)]
    write_frames(
        tmp_path / "pan_seg.json",
        [
            frame_entry("a.jpg", MAP, BDD100K),
            frame_entry("b.jpg", PanopticMap(MAP.ids, sure), BDD100K),
        ],
    )
    first, second = json.loads((tmp_path / "pan_seg.json").read_text())
    assert [label["id"] for label in first["labels"]] == ["1", "2", "3", "4", "5", "6"]
    for label, segment in zip(first["labels"], MAP.segments, strict=True):
        rle = label["rle"] | {"counts": label["rle"]["counts"].encode()}
        np.testing.assert_array_equal(coco_mask.decode(rle), MAP.ids == segment.id)
    assert [label.get("attributes") for label in first["labels"]].count({"crowd": True}) == 1
    assert second["labels"][0]["score"] == 0.5
    frame, _ = read_frames(tmp_path / "pan_seg.json")
    assert frame.name == "a.jpg"
    for label, segment in zip(frame.labels, MAP.segments, strict=True):
        assert label.category == BDD100K.categories[segment.category].name
        assert label.iscrowd == segment.iscrowd
        np.testing.assert_array_equal(decode_mask(label, (9, 9)), MAP.ids == segment.id)


def test_a_segment_without_a_pixel_is_no_label() -> None:
    panoptic = PanopticMap(np.zeros((2, 2), np.int32), [Segment(1, CAR)])
    assert frame_entry("a.jpg", panoptic, BDD100K) == {"name": "a.jpg", "labels": []}
