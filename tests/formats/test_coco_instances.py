"""COCO's instances JSON is read, or refused in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from panoptic_deeplab.errors import DataError, collecting_errors
from panoptic_deeplab.formats.coco_instances import instance_mask, read_instances


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


CORNERS = [1, 1, 3, 1, 3, 3, 1, 3]
BOX = {"bbox": [1, 1, 2, 2]}


@pytest.mark.parametrize(
    "shape",
    [
        {"segmentation": [CORNERS]},
        {"segmentation": CORNERS},
        {"segmentation": [], **BOX},
        {"segmentation": None, **BOX},
        {"segmentation": [[]], **BOX},
        {"segmentation": [], "bbox": ["1", "1", 2.0, 2.0]},
        BOX,
        {"segmentation": {"size": [4, 6], "counts": [5, 2, 2, 2, 13]}},
        {"segmentation": {"size": [4, 6], "counts": [5.0, 2.0, 2.0, 2.0, 13.0]}},
        {"segmentation": {"size": [4, 6], "counts": "5220;"}},
        {"segmentation": [CORNERS], "category_id": "3", "image_id": "5", "iscrowd": False},
        {"segmentation": [CORNERS, [4, 0, 5, 0]]},  # a part of two points covers nothing
    ],
)
def test_objects_as_programs_write_them(tmp_path: Path, shape: dict[str, Any]) -> None:
    annotation = {"id": 1, "image_id": 5, "category_id": 3} | shape
    _, (image,) = read_instances(instances_json(tmp_path / "a.json", annotations=[annotation]))
    (instance,) = image.instances
    mask = instance_mask(instance, image.size).astype(int).tolist()
    assert mask == [[0] * 6, [0, 1, 1, 0, 0, 0], [0, 1, 1, 0, 0, 0], [0] * 6]
    assert not instance.iscrowd


@pytest.mark.parametrize("root", ["animals", "cat"])
def test_the_root_category_of_roboflow_is_left_out(tmp_path: Path, root: str) -> None:
    """Roboflow adds it as number 0; it may be called as one of the classes."""
    categories = [{"id": 0, "name": root, "supercategory": "none"}] + [
        {"id": number, "name": name, "supercategory": root}
        for number, name in ((3, "cat"), (8, "dog"))
    ]
    with collecting_errors() as errors:
        info, _ = read_instances(instances_json(tmp_path / "a.json", categories=categories))
    assert [category.name for category in info.categories] == ["cat", "dog"]
    assert [error.is_left_out for error in errors] == [True]
    assert f"category {root!r} is above all others" in str(errors[0])


def test_a_supercategory_with_objects_stays(tmp_path: Path) -> None:
    categories = [
        {"id": 3, "name": "cat", "supercategory": "animal"},
        {"id": 8, "name": "dog", "supercategory": "cat"},
    ]
    info, _ = read_instances(instances_json(tmp_path / "a.json", categories=categories))
    assert [category.name for category in info.categories] == ["cat", "dog"]


def test_all_faults_of_a_file_are_found(tmp_path: Path) -> None:
    images = [
        {"id": 5, "file_name": "a.jpg", "height": 4, "width": 6},
        {"id": 6, "file_name": "b.jpg"},
    ]
    annotations = [
        ANNOTATION | changes
        for changes in (
            {"category_id": 9},
            {"segmentation": [[1, 2, 3]]},
            {"image_id": 7},
            {"image_id": 6},  # of which the image's own fault is told
            {"category_id": 10},
        )
    ]
    source = instances_json(tmp_path / "a.json", images=images, annotations=annotations)
    with collecting_errors() as errors:
        read_instances(source)
    told = [str(error).removeprefix(f"{source}: ")[:40] for error in errors]
    assert told == [
        "an image needs id, file_name, height and",
        "an annotation needs id, image_id, catego",
        "annotation 1 has category_id 9, which is",
        "annotation 1 has category_id 10, which i",
        "an annotation is of image 7, which 'imag",
    ]


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
        ({"annotations": [ANNOTATION | {"segmentation": []}]}, "or else a bbox .*'bbox'"),
        ({"annotations": [ANNOTATION | {"segmentation": "abc"}]}, "segmentation 'abc'"),
        ({"annotations": [ANNOTATION | {"category_id": "cat"}]}, "a whole number 'category_id'"),
        ({"annotations": [ANNOTATION | {"iscrowd": "no"}]}, "0 or 1 as 'iscrowd'"),
        ({"images": [{"id": 5, "file_name": "a", "height": 4, "width": 6}] * 2}, "listed twice"),
        ({"annotations": [ANNOTATION | {"segmentation": [[1, 2, 3]]}]}, "a polygon of 3 numbers"),
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
