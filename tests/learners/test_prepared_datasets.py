"""prepare_data, the folders it makes, and what is read from them and scored against them."""

from __future__ import annotations

import inspect
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_trees import (
    CAR,
    CAR_GROUP,
    INSTANCE_IDS,
    PERSON,
    STEMS,
    TRAIN_IDS,
    image_of,
    write_cityscapes,
    write_kitti,
)

from panoptic_deeplab.datasets import OpenDrPanoptic
from panoptic_deeplab.errors import DataError, UsageError
from panoptic_deeplab.files import write_json
from panoptic_deeplab.formats.images import read_ids, read_image, read_label_map, write_ids
from panoptic_deeplab.formats.masks import decode_rle
from panoptic_deeplab.learners import CityscapesDataset, Image, KittiDataset


@pytest.fixture(scope="module")
def cityscapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepared, train without panoptic ground truth. Not to be changed."""
    folder = tmp_path_factory.mktemp("cityscapes")
    CityscapesDataset.prepare_data(write_cityscapes(folder / "raw"), folder / "made", num_workers=1)
    return folder / "made"


@pytest.fixture(scope="module")
def kitti(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepared, both splits with panoptic ground truth. Not to be changed."""
    folder = tmp_path_factory.mktemp("kitti")
    KittiDataset.prepare_data(write_kitti(folder / "raw"), folder / "made", True, 2)
    return folder / "made"


def files_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_cityscapes_lies_as_opendr_has_it(cityscapes: Path) -> None:
    train, val = STEMS["train"], STEMS["val"]
    assert files_in(cityscapes) == {
        "train/annotations.json",
        f"train/images/{train}.png",
        f"train/stuffthingmaps/{train}.png",
        "val/annotations.json",
        f"val/images/{val}.png",
        f"val/stuffthingmaps/{val}.png",
        "val/panoptic_gt.json",
        f"val/panoptic_gt/{val}_gtFine_panoptic.png",
    }


def test_kitti_lies_as_opendr_has_it(kitti: Path) -> None:
    names = {"images", "stuffthingmaps", "panoptic_gt"}
    split = {f"{name}/000000_10.png" for name in names} | {"annotations.json", "panoptic_gt.json"}
    assert files_in(kitti) == {f"{name}/{file}" for name in ("train", "val") for file in split}


def test_every_id_of_an_image_is_converted(cityscapes: Path) -> None:
    """OpenDR returns after the first; void is left out, a crowd is marked."""
    content = json.loads((cityscapes / "val" / "annotations.json").read_text())
    found = {
        int(INSTANCE_IDS[decode_rle(entry["segmentation"])][0]): (
            entry["category_id"],
            entry["iscrowd"],
            entry["area"],
            entry["bbox"],
        )
        for entry in content["annotations"]
    }
    assert found == {
        CAR_GROUP: (13, 1, 4, [6, 0, 2, 2]),
        PERSON: (11, 0, 2, [4, 1, 1, 2]),
        CAR: (13, 0, 4, [1, 1, 2, 2]),
        CAR + 1: (13, 0, 3, [3, 2, 2, 2]),
    }
    assert [image["file_name"] for image in content["images"]] == [f"{STEMS['val']}.png"]
    things = ["person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle"]
    assert content["categories"] == [
        {"id": index, "name": name} for index, name in enumerate(things, 11)
    ]


def test_class_maps_and_panoptic_maps_of_cityscapes(cityscapes: Path) -> None:
    val = cityscapes / "val"
    assert (read_label_map(val / "stuffthingmaps" / f"{STEMS['val']}.png") == TRAIN_IDS).all()
    ids = read_ids(val / "panoptic_gt" / f"{STEMS['val']}_gtFine_panoptic.png")
    assert (ids == np.where(TRAIN_IDS == 255, 0, INSTANCE_IDS)).all()
    content = json.loads((val / "panoptic_gt.json").read_text())
    (entry,) = content["annotations"]
    assert {s["id"]: s["category_id"] for s in entry["segments_info"]} == {
        7: 7, 23: 23, CAR_GROUP: 26, PERSON: 24, CAR: 26, CAR + 1: 26
    }  # fmt: skip
    assert len(content["categories"]) == 19


def test_kitti_is_annotated_at_1280_x_384_and_keeps_its_images(kitti: Path) -> None:
    ids = read_ids(kitti / "val" / "panoptic_gt" / "000000_10.png")
    assert ids.shape == (384, 1280)
    assert set(np.unique(ids)) == {0, 7, 23, CAR_GROUP, PERSON, CAR, CAR + 1}
    assert read_image(kitti / "val" / "images" / "000000_10.png").shape == (320, 1248, 3)
    sample = OpenDrPanoptic(str(kitti / "val"), (1280, 384))[0]
    assert sample["image"].shape == (384, 1280, 3)


@pytest.mark.parametrize("name", ["cityscapes", "kitti"])
def test_classes_and_instances_make_the_map_that_panoptic_gt_has(
    name: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    prepared, size = request.getfixturevalue(name) / "val", (1280, 384) if name == "kitti" else None
    shutil.copytree(prepared, tmp_path / "val", ignore=shutil.ignore_patterns("panoptic_gt*"))
    whole, parts = (
        OpenDrPanoptic(str(root), size).truth(0) for root in (prepared, tmp_path / "val")
    )
    pairs = np.unique(np.stack([whole.ids.ravel(), parts.ids.ravel()]), axis=1)
    assert pairs.shape[1] == len(np.unique(whole.ids)) == len(np.unique(parts.ids))
    assert (whole.semantic(255) == parts.semantic(255)).all()
    kinds = [
        sorted((s.category, s.iscrowd, s.area) for s in map_.segments) for map_ in (whole, parts)
    ]
    assert kinds[0] == kinds[1]


def test_polygons_of_opendrs_own_files_leave_their_fringe_void(tmp_path: Path) -> None:
    """The polygon covers three columns of the class's four: the fourth has no instance."""
    root = write_split(tmp_path / "train", np.full((4, 4), 13, np.uint8))
    write_json(
        root / "annotations.json",
        {
            "images": [{"id": 1, "file_name": "a.png", "height": 4, "width": 4}],
            "categories": [{"id": 13, "name": "car"}],
            "annotations": [
                {
                    "id": 1,
                    "image_id": 1,
                    "category_id": 13,
                    "iscrowd": 0,
                    "segmentation": [[0, 0, 3, 0, 3, 4, 0, 4]],
                }
            ],
        },
    )
    truth = OpenDrPanoptic(str(root)).truth(0)
    assert (truth.semantic(255) == [[13, 13, 13, 255]] * 4).all()


def write_split(root: Path, labels: np.ndarray) -> Path:
    from panoptic_deeplab.formats.images import write_image

    write_image(root / "images" / "a.png", image_of(*labels.shape))
    write_image(root / "stuffthingmaps" / "a.png", labels)
    return root


def test_labels_that_opendr_leaves_in_kittis_maps_are_void(kitti: Path, tmp_path: Path) -> None:
    shutil.copytree(kitti / "val", tmp_path / "val")
    ids = INSTANCE_IDS.astype(np.int32).repeat(64, axis=0).repeat(160, axis=1)
    write_ids(tmp_path / "val" / "panoptic_gt" / "000000_10.png", ids)
    truth = OpenDrPanoptic(str(tmp_path / "val"), (1280, 320)).truth(0)
    assert (truth.ids == 0).sum() == 4 * 64 * 160


def write_predictions(dataset: CityscapesDataset, folder: Path) -> tuple[Path, Path]:
    """The ground truth as predictions: a JSON an image and a folder of PNGs."""
    content = json.loads((Path(dataset.path) / "panoptic_gt.json").read_text())
    shutil.copytree(Path(dataset.path) / "panoptic_gt", folder / "png")
    for entry in content["annotations"]:
        write_json(folder / "json" / f"{entry['image_id']}.json", {"annotations": [entry]})
    return folder / "png", folder / "json"


@pytest.mark.parametrize("of", [CityscapesDataset, KittiDataset])
def test_the_ground_truth_scores_1(of: Any, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    prepared = request.getfixturevalue("cityscapes" if of is CityscapesDataset else "kitti")
    dataset = of(prepared / "val")
    results = dataset.evaluate(*map(str, write_predictions(dataset, tmp_path)))
    assert results["All"] == {"pq": 1.0, "sq": 1.0, "rq": 1.0, "n": 4}
    assert results["Things"]["n"] == results["Stuff"]["n"] == 2
    assert results["per_class"]["car"] == {"pq": 1.0, "sq": 1.0, "rq": 1.0}
    assert results["per_class"]["bus"] == {"pq": 0.0, "sq": 0.0, "rq": 0.0}


def test_images_without_a_prediction_are_skipped_but_not_all(
    cityscapes: Path, tmp_path: Path
) -> None:
    raw = write_cityscapes(tmp_path / "raw")
    for kind in ("leftImg8bit/val", "gtFine/val"):
        for file in (raw / kind / "lindau").iterdir():
            shutil.copyfile(file, str(file).replace("000001_", "000002_"))
    CityscapesDataset.prepare_data(raw, tmp_path / "made")
    two = CityscapesDataset(tmp_path / "made" / "val")
    predictions = write_predictions(CityscapesDataset(cityscapes / "val"), tmp_path)
    assert len(two) == 2
    assert two.evaluate(*predictions)["All"]["pq"] == 1.0
    other = write_json_of_another_image(tmp_path / "other")
    with pytest.raises(DataError, match=r"other: no JSON here predicts an image of .*val"):
        two.evaluate(predictions[0], other)


def write_json_of_another_image(folder: Path) -> Path:
    entry = {"image_id": "weimar_1", "file_name": "weimar_1.png", "segments_info": []}
    write_json(folder / "weimar_1.json", {"annotations": [entry]})
    return folder


def test_a_split_is_a_sequence_of_images(cityscapes: Path) -> None:
    dataset = CityscapesDataset(path=str(cityscapes / "validation"))  # as the documents name it
    image, annotation = dataset[0]
    assert (len(dataset), annotation) == (1, None)
    assert (image.data == image_of(5, 8).transpose(2, 0, 1)).all()
    assert [one.data.shape for one, _ in dataset] == [(3, 5, 8)]
    assert dataset.pipeline is None
    assert image.filename == "lindau_000001_000019.png"
    with pytest.raises(ValueError, match=r"Filename is not set\."):
        _ = Image(image.opencv()).filename
    assert Image(image.opencv(), filename="lindau.png").filename == "lindau.png"


def test_signatures_are_opendrs() -> None:
    for dataset in (CityscapesDataset, KittiDataset):
        prepare = inspect.signature(dataset.prepare_data).parameters
        assert list(prepare) == [
            "input_path",
            "output_path",
            "generate_train_evaluation",
            "num_workers",
        ]
        assert prepare["generate_train_evaluation"].default is False
        assert prepare["num_workers"].default == os.cpu_count()
        assert list(inspect.signature(dataset).parameters) == ["path"]
        evaluate = inspect.signature(dataset.evaluate).parameters
        assert list(evaluate) == ["self", "prediction_path", "prediction_json_folder"]


def test_paths_may_be_bytes_and_begin_at_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    write_cityscapes(tmp_path / "raw")
    CityscapesDataset.prepare_data(b"~/raw", "~/made")
    assert len(CityscapesDataset("~/made/train")) == 1


def without(kind: str, write: Callable[[Path], Path]) -> Callable[[Path], Path]:
    """A data set as downloaded, of which a part was forgotten."""

    def write_rest(root: Path) -> Path:
        shutil.rmtree(write(root) / kind)
        return root

    return write_rest


BAD_INPUT = [
    (CityscapesDataset, lambda root: root, "The specified input path does not exist"),
    (CityscapesDataset, without("leftImg8bit", write_cityscapes), "leftImg8bit_trainvaltest.zip"),
    (CityscapesDataset, without("gtFine", write_cityscapes), "gtFine_trainvaltest.zip"),
    (KittiDataset, lambda root: root, "The specified input path does not exist"),
    (KittiDataset, without("training", write_kitti), "KITTI panoptic segmentation dataset first"),
    (KittiDataset, without("validation", write_kitti), "http://panoptic.cs.uni-freiburg.de/"),
]


@pytest.mark.parametrize(("dataset", "write", "message"), BAD_INPUT)
def test_what_is_not_downloaded_is_a_value_error(
    dataset: Any, write: Callable[[Path], Path], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        dataset.prepare_data(write(tmp_path / "raw"), tmp_path / "made")
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("dataset", [CityscapesDataset, KittiDataset])
def test_an_output_is_never_replaced(dataset: Any, tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    with pytest.raises(ValueError, match="The specified output path already exists"):
        dataset.prepare_data(tmp_path, tmp_path / "made")


@pytest.mark.parametrize("num_workers", [-1, 1.5, "2"])
def test_threads_are_a_whole_number(num_workers: Any, tmp_path: Path) -> None:
    raw = write_cityscapes(tmp_path / "raw")
    with pytest.raises(UsageError, match="num_workers: expected 0 threads or more"):
        CityscapesDataset.prepare_data(raw, tmp_path / "made", num_workers=num_workers)
    assert not (tmp_path / "made").exists()


def test_a_missing_image_leaves_no_half_data_set(tmp_path: Path) -> None:
    raw = write_cityscapes(tmp_path / "raw")
    shutil.rmtree(raw / "leftImg8bit" / "val")
    with pytest.raises(DataError, match=r"lindau_000001_000019_leftImg8bit.png: no such file"):
        CityscapesDataset.prepare_data(raw, tmp_path / "made")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["raw"]


def test_what_cannot_be_evaluated_says_so(cityscapes: Path, tmp_path: Path) -> None:
    train, val = (CityscapesDataset(cityscapes / name) for name in ("train", "val"))
    with pytest.raises(ValueError, match="The provided prediction_path does not exist"):
        val.evaluate(tmp_path / "no", tmp_path)
    with pytest.raises(ValueError, match="The provided prediction_json_folder does not exist"):
        val.evaluate(tmp_path, tmp_path / "no")
    with pytest.raises(RuntimeError, match="does not contain panoptic ground truth values"):
        train.evaluate(tmp_path, tmp_path)
    with pytest.raises(DataError, match=r"no \*.json lies below"):
        val.evaluate(tmp_path, tmp_path)
    with pytest.raises(DataError, match="expected a split with a folder images"):
        CityscapesDataset(cityscapes)
