"""Bdd100kPanoptic: bitmasks and Scalabel JSON give the same truth."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from panoptic_deeplab.config import Config
from panoptic_deeplab.datasets import Bdd100kPanoptic
from panoptic_deeplab.errors import DataError
from panoptic_deeplab.formats.images import write_image
from panoptic_deeplab.structures import Segment

ROAD, SKY, CAR = 6, 29, 34  # class indices: the R of a bitmask less 1


def bitmask(*pixels: tuple[int, int, int], crowd: int = 0b10) -> np.ndarray:
    """One row of pixels (category, instance, is crowd)."""
    rows = [(c, crowd if g else 0, i >> 8, i & 255) for c, i, g in pixels]
    return np.array([rows], np.uint8)


def make_split(root: Path, rgba: np.ndarray | None = None, mode: str = "val") -> Path:
    height, width = (1, 6) if rgba is None else rgba.shape[:2]
    write_image(root / "images/10k" / mode / "a.jpg", np.zeros((height, width, 3), np.uint8))
    if rgba is not None:
        folder = root / "labels/pan_seg/bitmasks" / mode
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rgba, "RGBA").save(folder / "a.png")
    return root


def write_polygons(root: Path, content: object, mode: str = "val") -> Path:
    path = root / f"labels/pan_seg/polygons/pan_seg_{mode}.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(content))
    return path


ROWS = ((7, 7, 0), (7, 300, 0), (35, 31, 0), (35, 32, 1), (0, 5, 0), (30, 0, 0))


def test_a_bitmask_becomes_segments(tmp_path: Path) -> None:
    """Two pieces of road stay two; category 0 and instance 0 are void."""
    dataset = Bdd100kPanoptic(str(make_split(tmp_path, bitmask(*ROWS))), "val")
    sample = dataset[0]
    assert sample["panoptic"].tolist() == [[7, 300, 31, 32, 0, 0]]
    assert sample["panoptic"].dtype == np.int32
    assert sample["segments"] == [
        Segment(7, ROAD, False, 1),
        Segment(31, CAR, False, 1),
        Segment(32, CAR, True, 1),
        Segment(300, ROAD, False, 1),
    ]
    assert dataset.info.num_classes == 40
    assert len(dataset.info.thing_ids) == 10
    assert dataset.truth(0).semantic(255).tolist() == [[ROAD, ROAD, CAR, CAR, 255, 255]]


def test_ignored_is_a_crowd(tmp_path: Path) -> None:
    rgba = bitmask((35, 31, 1), (35, 32, 0), crowd=0b01)
    (car, other) = Bdd100kPanoptic(str(make_split(tmp_path, rgba)), "val").truth(0).segments
    assert (car.iscrowd, other.iscrowd) == (True, False)


def test_a_category_above_the_table(tmp_path: Path) -> None:
    root = make_split(tmp_path, bitmask((7, 7, 0), (41, 8, 0)))
    with pytest.raises(DataError, match=r"a\.png: category 41 at pixel \(y 0, x 1\) is none of"):
        Bdd100kPanoptic(str(root), "val").truth(0)


def rle(columns: list[int], width: int = 6) -> dict:
    mask = np.zeros((1, width), np.uint8, order="F")
    mask[:, columns] = 1
    return {"size": [1, width], "counts": coco_mask.encode(mask)["counts"].decode()}


def test_labels_of_a_json_are_painted_in_order(tmp_path: Path) -> None:
    root = make_split(tmp_path)
    labels = [
        {"id": "a", "category": "road", "rle": rle([0, 1, 2])},
        {"id": "b", "category": "car", "rle": rle([2, 3])},
        {"id": "c", "category": "road", "rle": rle([4])},
        {"id": "d", "category": "car", "rle": rle([5]), "attributes": {"crowd": True}},
        {"id": "e", "category": "sky", "box2d": {}},
        {"id": "f", "category": "unlabeled", "rle": rle([0])},
    ]
    write_polygons(root, [{"name": "a.jpg", "labels": labels}])
    truth = Bdd100kPanoptic(str(root), "val").truth(0)
    assert truth.ids.tolist() == [[7, 7, 32, 32, 7, 34]]
    assert truth.segments == [
        Segment(7, ROAD, False, 3),
        Segment(32, CAR, False, 2),
        Segment(34, CAR, True, 1),
    ]


def test_polygons_take_the_size_of_the_image(tmp_path: Path) -> None:
    root = tmp_path / "root"
    write_image(root / "images/10k/val/a.jpg", np.zeros((8, 10, 3), np.uint8))
    square = [[2, 2], [6, 2], [6, 6], [2, 6]]
    label = {"id": 1, "category": "sky", "poly2d": [{"vertices": square, "types": "LLLL"}]}
    (root / "own.json").write_text(json.dumps({"frames": [{"name": "a.jpg", "labels": [label]}]}))
    dataset = Bdd100kPanoptic(str(root), "val", annotation_file="own.json")
    ids = dataset[0]["panoptic"]
    assert ids.shape == (8, 10)
    assert ids[4, 4] == SKY + 1
    assert (ids > 0).sum() == 16


def test_a_named_json_comes_before_the_bitmasks(tmp_path: Path) -> None:
    root = make_split(tmp_path, bitmask(*ROWS))
    label = {"id": "1", "category": "sky", "rle": rle([0])}
    (root / "own.json").write_text(json.dumps([{"name": "a.jpg", "labels": [label]}]))
    truth = Bdd100kPanoptic(str(root), "val", annotation_file="own.json").truth(0)
    assert [segment.category for segment in truth.segments] == [SKY]


LABELS = {
    "an unknown class": ({"category": "carr", "rle": rle([0])}, "'carr' is no class of BDD100K"),
    "another size": (
        {"category": "car", "rle": rle([0], width=7)},
        "its mask is 7 x 1 pixels, the image 6 x 1",
    ),
    "a broken mask": ({"category": "car", "rle": {"size": [1, 6]}}, "label 1: its mask"),
}


@pytest.mark.parametrize("kind", LABELS)
def test_labels_that_are_refused(tmp_path: Path, kind: str) -> None:
    label, message = LABELS[kind]
    root = make_split(tmp_path)
    source = write_polygons(root, [{"name": "a.jpg", "labels": [{"id": "1"} | label]}])
    with pytest.raises(DataError) as failure:
        Bdd100kPanoptic(str(root), "val").truth(0)
    assert message in str(failure.value)
    assert str(source) in str(failure.value)


def test_a_split_without_labels_predicts(tmp_path: Path) -> None:
    dataset = Bdd100kPanoptic(str(make_split(tmp_path, mode="test")), "test")
    assert "panoptic" not in dataset[0]
    with pytest.raises(DataError, match=r"has no annotation; .* which has neither"):
        dataset.truth(0)


def test_annotations_without_images(tmp_path: Path) -> None:
    root = make_split(tmp_path, bitmask(*ROWS))
    bitmasks = root / "labels/pan_seg/bitmasks/val"
    (bitmasks / "b.png").write_bytes((bitmasks / "a.png").read_bytes())
    with pytest.raises(DataError, match=r"b\.png: annotates an image b\.\* that does not lie"):
        Bdd100kPanoptic(str(root), "val")
    (root / "own.json").write_text(json.dumps([{"name": "a.jpg"}] * 2))
    with pytest.raises(DataError, match=r"own\.json: frame a\.jpg is listed twice"):
        Bdd100kPanoptic(str(root), "val", annotation_file="own.json")
    with pytest.raises(DataError, match="no such folder; dataset_root must hold BDD100K's images"):
        Bdd100kPanoptic(str(root), "nowhere")


def test_the_configuration_reads_it(tmp_path: Path) -> None:
    for mode in ("train", "val"):
        make_split(tmp_path, bitmask(*ROWS), mode)
    (path,) = (Path(__file__).parents[2] / "configs" / "panoptic_deeplab").glob("*_bdd100k_*.yml")
    opts = [f"{split}.dataset_root={tmp_path}" for split in ("train_dataset", "val_dataset")]
    config = Config(path, opts)
    assert config.train_dataset[0]["panoptic"].shape == (737, 1281)
    assert config.val_dataset[0]["frame"].valid_box == (0, 0, 1, 6)
    assert config.info.num_classes == 40
    assert type(config.evaluators[0]).__name__ == "Bdd100kPanopticQuality"
