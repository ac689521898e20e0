"""What is written in each form is read back by us and, where it is installed, by the library."""

from __future__ import annotations

import base64
import json
import math
from io import BytesIO
from pathlib import Path
from typing import Any

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
from panoptic_deeplab.formats.coco_instances import instance_mask, read_instances
from panoptic_deeplab.formats.images import read_ids, write_image
from panoptic_deeplab.formats.labelme import read_labelme, shape_mask
from panoptic_deeplab.formats.masks import decode_rle, encode_rle, fill_polygons
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


def test_run_lengths_are_those_of_pycocotools() -> None:
    rng = np.random.default_rng(0)
    for size in ((1, 1), (1, 7), (5, 3), (40, 60), (300, 200)):
        for share in (0, 0.02, 0.5, 1):
            mask = rng.random(size) < share
            packed = coco_mask.encode(np.asfortranarray(mask, np.uint8))
            assert encode_rle(mask) == {"counts": packed["counts"].decode(), "size": list(size)}
            np.testing.assert_array_equal(decode_rle(packed), mask)
            np.testing.assert_array_equal(decode_rle(encode_rle(mask)), mask)


def test_run_lengths_in_a_list_go_down_the_columns() -> None:
    mask = decode_rle({"size": [2, 3], "counts": [1, 2, 3]})
    assert mask.tolist() == [[False, True, False], [True, False, False]]


@pytest.mark.parametrize(
    "rle",
    [
        {"size": [2, 3], "counts": [1, 2]},
        {"size": [2, 3], "counts": [1, 2, 4]},
        {"size": [2, 3], "counts": [-1, 2, 5]},
        {"size": [2, 3], "counts": [2**62, 2**62, 2**62, 2**62, 6]},  # wraps to 6
        {"size": [2, 3], "counts": [1.5, 4.5]},
        {"size": [2, 3], "counts": [[1], [2, 3]]},
        {"size": [2, 3], "counts": []},
        {"size": [2, 3], "counts": ""},
        {"size": [2, 3], "counts": "oooooooooooooooo0"},  # a number of 80 bits
        {"size": [2, 3], "counts": "P"},  # says that more follows
        {"size": [2, 3], "counts": "\u20ac"},
        {"size": [2, 3]},
        {"size": [2], "counts": "6"},
        {"size": [1 << 20, 1 << 20], "counts": [1 << 40]},
        {"size": [8193, 8192], "counts": [8193 * 8192]},  # a byte a pixel
        {"size": [math.inf, 1], "counts": "1"},
        {"size": [0, 5], "counts": "0"},
    ],
    ids=str,
)
def test_broken_run_lengths_are_refused(rle: dict[str, Any]) -> None:
    with pytest.raises(DataError):
        decode_rle(rle)


def test_no_text_breaks_the_decoder() -> None:
    rng = np.random.default_rng(1)
    fitting = 0
    for _ in range(3000):
        text = bytes(rng.integers(48, 112, rng.integers(0, 12)).tolist()).decode()
        try:
            fitting += decode_rle({"size": rng.integers(1, 9, 2).tolist(), "counts": text}).size
        except DataError:
            continue
    assert fitting  # a few are whole by chance


def test_polygons_are_filled_together() -> None:
    left, right = (
        np.array([[0, 0], [2, 0], [2, 2], [0, 2]]),
        np.array([[3, 0], [4, 0], [4, 2], [3, 2]]),
    )
    assert (
        fill_polygons([left, right, left[:2]], (2, 4)).tolist() == [[True, True, False, True]] * 2
    )
    assert not fill_polygons([], (2, 4)).any()


@pytest.mark.parametrize("far", [math.nan, math.inf, 1e12, -1e9])
def test_a_polygon_that_would_fill_the_memory_is_refused(far: float) -> None:
    with pytest.raises(DataError, match="expected finite coordinates"):
        fill_polygons([np.array([[0, 0], [far, 1], [1, 1]])], (4, 4))


def test_an_outline_that_goes_to_and_fro_for_long_is_refused() -> None:
    outline = np.array([[0, 0], [100_000, 0], [0, 1]] * 30)  # 6 million pixels, none of them far
    with pytest.raises(DataError, match="a polygon of length 6"):
        fill_polygons([outline], (4, 4))


# COCO instances.


def instances_json(path: Path, **changes: Any) -> Path:
    content = {
        "images": [{"id": 5, "file_name": "a.jpg", "height": 4, "width": 6}],
        "annotations": [
            {
                "id": 1,
                "image_id": 5,
                "category_id": 3,
                "iscrowd": 0,
                "segmentation": [[0, 0, 2, 0, 2, 2, 0, 2], [4, 0, 6, 0, 6, 2, 4, 2]],
            },
            {
                "id": 2,
                "image_id": 5,
                "category_id": 8,
                "iscrowd": 1,
                "segmentation": {"size": [4, 6], "counts": [0, 4, 20]},
            },
        ],
        "categories": [{"id": 3, "name": "cat"}, {"id": 8, "name": "dog"}],
    }
    path.write_text(json.dumps(content | changes))
    return path


def test_instances_are_read(tmp_path: Path) -> None:
    info, (image,) = read_instances(instances_json(tmp_path / "a.json"))
    assert [(c.name, c.is_thing, c.official_id) for c in info.categories] == [
        ("cat", True, 3),
        ("dog", True, 8),
    ]
    assert (image.image_id, image.file_name, image.size) == (5, "a.jpg", (4, 6))
    cat, dog = image.instances
    assert (cat.category, cat.iscrowd, dog.category, dog.iscrowd) == (0, False, 1, True)
    both_parts = [[1, 1, 0, 0, 1, 1]] * 2 + [[0] * 6] * 2
    assert instance_mask(cat, image.size).astype(int).tolist() == both_parts
    assert instance_mask(dog, image.size).astype(int).tolist() == [[1, 0, 0, 0, 0, 0]] * 4


ANNOTATION = {"id": 1, "image_id": 5, "category_id": 3, "segmentation": [[0, 0, 2, 0, 2, 2]]}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": [{"id": 5, "file_name": "a.jpg"}]}, "an image needs id"),
        (
            {"images": [{"id": 5, "file_name": "a", "height": 10**9, "width": 10**9}]},
            "an image needs id, file_name, height and width",
        ),
        ({"annotations": [ANNOTATION | {"image_id": 6}]}, "is of image 6, which 'images' lacks"),
        ({"annotations": [ANNOTATION | {"category_id": 9}]}, "category_id 9, which is none of its"),
        ({"annotations": [ANNOTATION | {"segmentation": []}]}, "says not which pixels it is"),
        ({"annotations": [ANNOTATION | {"segmentation": [[1, 2, 3]]}]}, "needs .* polygons"),
        ({"annotations": [{"id": 1}]}, "an annotation needs id, image_id"),
        ({"annotations": 3}, "expected a list under 'annotations'"),
        ({"categories": [{"id": 3}]}, "a category needs id"),
    ],
)
def test_broken_instances_are_refused(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=f"a\\.json: .*{message}"):
        read_instances(instances_json(tmp_path / "a.json", **changes))


def test_an_rle_of_another_size_is_refused(tmp_path: Path) -> None:
    other = ANNOTATION | {"segmentation": {"size": [2, 2], "counts": [0, 4]}}
    _, (image,) = read_instances(instances_json(tmp_path / "a.json", annotations=[other]))
    with pytest.raises(DataError, match="annotation 1: its RLE has size 2 x 2, the image 4 x 6"):
        instance_mask(image.instances[0], image.size)


# labelme.


def png_of(mask: list[list[int]]) -> str:
    data = BytesIO()
    Image.fromarray(np.array(mask, np.uint8)).save(data, "PNG")
    return base64.b64encode(data.getvalue()).decode()


def labelme_json(path: Path, *shapes: dict[str, Any], **changes: Any) -> Path:
    content = {"shapes": list(shapes), "imageHeight": 4, "imageWidth": 5, "imageData": "ignored"}
    path.write_text(json.dumps(content | changes))
    return path


@pytest.mark.parametrize(
    ("shape", "pixels"),
    [
        (  # corners belong to it, and it is drawn over the border
            {"points": [[3.0, 1.0], [9, 1], [9, 9], [3, 9]]},
            ["00000", "00011", "00011", "00011"],
        ),
        (
            {"shape_type": "rectangle", "points": [[2.0, 3.0], [1, 1]]},
            ["00000", "01100", "01100", "01100"],
        ),
        (
            {"shape_type": "circle", "points": [[2, 1], [3, 1]]},
            ["00100", "01110", "00100", "00000"],
        ),
        (
            {
                "shape_type": "mask",
                "points": [[3, 0], [5, 1]],
                "mask": png_of([[0, 1, 1], [1, 0, 1]]),
            },
            ["00001", "00010", "00000", "00000"],
        ),
        (
            {"shape_type": "mask", "points": [[-1, -1], [0, 0]], "mask": png_of([[0, 1], [1, 1]])},
            ["10000", "00000", "00000", "00000"],
        ),
    ],
    ids=["polygon", "rectangle", "circle", "mask", "mask over the corner"],
)
def test_shapes_of_labelme(tmp_path: Path, shape: dict[str, Any], pixels: list[str]) -> None:
    annotation = read_labelme(labelme_json(tmp_path / "a.json", {"label": "cat"} | shape))
    assert annotation.size == (4, 5)
    mask = shape_mask(annotation.shapes[0], (4, 5))
    assert ["".join(map(str, row)) for row in mask.astype(int).tolist()] == pixels


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ({"shape_type": "line", "points": [[0, 0], [1, 1]]}, "'line', which covers no area"),
        ({"points": [[0, 0], [1, 1]]}, "of a polygon"),
        ({"points": [[0, 0], [1, 1], [math.nan, 2]]}, "a coordinate beyond"),
        ({"points": [[0, 0], [1, 1], [1e300, 2]]}, "a coordinate beyond"),
        ({"points": "abc"}, "ValueError"),
        ({"points": [[0, 0], [1, 1], [2, 0]], "group_id": [1]}, "group_id"),
        ({"shape_type": "mask", "points": [[0, 0], [1, 1]]}, "KeyError: 'mask'"),
        ({"shape_type": "mask", "points": [[0, 0], [1, 1]], "mask": "?"}, "base64|padding"),
        ({"shape_type": ["polygon"], "points": []}, "TypeError"),
    ],
)
def test_broken_shapes_of_labelme_are_refused(
    tmp_path: Path, shape: dict[str, Any], message: str
) -> None:
    path = labelme_json(tmp_path / "a.json", {"label": "cat"} | shape)
    with pytest.raises(DataError, match=f"a\\.json: shape 0: .*({message})"):
        read_labelme(path)


@pytest.mark.parametrize(
    "png", [png_of([[1, 1, 1]]), base64.b64encode(b"no image").decode()], ids=["size", "png"]
)
def test_a_mask_that_does_not_fit_its_box_is_refused(tmp_path: Path, png: str) -> None:
    shape = {"label": "cat", "shape_type": "mask", "points": [[0, 0], [1, 1]], "mask": png}
    annotation = read_labelme(labelme_json(tmp_path / "a.json", shape))
    with pytest.raises(DataError, match="the mask of a shape 'cat'"):
        shape_mask(annotation.shapes[0], (4, 5))


@pytest.mark.parametrize(
    "changes",
    [{"shapes": 3}, {"imageHeight": -1}, {"imageHeight": "4"}, {"imageHeight": 1 << 40}],
    ids=str,
)
def test_broken_files_of_labelme_are_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=r"a\.json: "):
        read_labelme(labelme_json(tmp_path / "a.json", **changes))


def test_labelme_files_may_lack_the_size(tmp_path: Path) -> None:
    assert read_labelme(labelme_json(tmp_path / "a.json", imageWidth=None)).size is None
