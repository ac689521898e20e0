"""Cityscapes' layout: pairing, ground truth, and files that are wrong."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from panoptic_deeplab.datasets import CityscapesPanoptic, CityscapesSequences
from panoptic_deeplab.errors import DataError
from panoptic_deeplab.formats.cityscapes import CITYSCAPES, LABEL_IDS
from panoptic_deeplab.formats.images import read_image


@pytest.fixture
def copy(scenes: Path, tmp_path: Path) -> Path:
    """The scenes once more, to be spoiled."""
    return Path(shutil.copytree(scenes, tmp_path / "copy"))


def annotation_file(root: Path, mode: str = "val") -> Path:
    return root / "gtFine" / f"cityscapes_panoptic_{mode}_trainId.json"


def edit(root: Path, change: Callable[[dict], None]) -> None:
    content = json.loads(annotation_file(root).read_text())
    change(content)
    annotation_file(root).write_text(json.dumps(content))


def test_a_sample_is_what_the_files_say(scenes: Path) -> None:
    dataset = CityscapesPanoptic(str(scenes), "val")
    assert len(dataset) == 3
    sample, record = dataset[0], dataset.records[0]
    assert sample["image"].shape == (64, 128, 3)
    assert sample["image"].dtype == np.uint8
    np.testing.assert_array_equal(sample["image"], np.asarray(Image.open(record.image_path)))
    rgb = np.asarray(Image.open(record.label_path)).astype(int)
    np.testing.assert_array_equal(sample["panoptic"], rgb @ [1, 256, 65536])
    assert sample["frame"].valid_box == (0, 0, 64, 128)
    areas = {s.id: s.area for s in sample["segments"]}
    assert areas == {i: int((sample["panoptic"] == i).sum()) for i in areas}


def test_semantics_equal_the_train_id_images(scenes: Path) -> None:
    dataset = CityscapesPanoptic(str(scenes), "val")
    for index, record in enumerate(dataset.records):
        labels = next(scenes.glob(f"gtFine/val/*/{record.image_id}_gtFine_labelTrainIds.png"))
        semantic = dataset.truth(index).semantic(CITYSCAPES.ignore_index)
        np.testing.assert_array_equal(semantic, cv2.imread(str(labels), cv2.IMREAD_UNCHANGED))


def test_pairs_by_image_id_whatever_the_order_and_the_names(copy: Path) -> None:
    before = {r.image_id: r.label_path.name for r in CityscapesPanoptic(str(copy), "val").records}
    edit(copy, lambda content: content["annotations"].reverse())
    for path in sorted((copy / "leftImg8bit" / "val").rglob("*.png")):
        renamed = path.name.replace("_leftImg8bit.png", ".jpg")
        Image.open(path).save(copy / "leftImg8bit" / "val" / renamed)
        path.unlink()
    records = CityscapesPanoptic(str(copy), "val").records
    assert {r.image_id: r.label_path.name for r in records} == before
    assert all(r.image_path.stem == r.image_id for r in records)


def test_a_split_folder_is_not_needed(copy: Path) -> None:
    images = copy / "leftImg8bit"
    shutil.rmtree(images / "train")
    for path in images.rglob("*.png"):
        path.rename(images / path.name)
    shutil.rmtree(images / "val")
    assert len(CityscapesPanoptic(str(copy), "val")) == 3


def test_links_to_folders_are_followed_and_a_ring_of_them_ends(copy: Path, tmp_path: Path) -> None:
    folder = copy / "leftImg8bit" / "val"
    shutil.move(folder, tmp_path / "elsewhere")
    folder.mkdir()
    (folder / "town").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "up").symlink_to(folder)
    assert len(CityscapesPanoptic(str(copy), "val")) == 3


def test_a_test_split_has_no_truth(copy: Path) -> None:
    (copy / "leftImg8bit" / "val").rename(copy / "leftImg8bit" / "test")
    dataset = CityscapesPanoptic(str(copy), "test")
    assert "panoptic" not in dataset[0]
    with pytest.raises(DataError, match="has no annotation"):
        dataset.truth(0)


def _label_ids(content: dict) -> None:
    for annotation in content["annotations"]:
        for segment in annotation["segments_info"]:
            segment["category_id"] = LABEL_IDS[segment["category_id"]]
    del content["categories"]


def _label_ids_in_categories(content: dict) -> None:
    for category in content["categories"]:
        category["id"] = {"road": 7}.get(category["name"], category["id"])


def _first(content: dict) -> dict:
    return content["annotations"][0]


SPOILT = {
    "label ids": (_label_ids, "holds Cityscapes label ids where train ids are wanted"),
    "another numbering": (_label_ids_in_categories, "category 'road' has id 7"),
    "unknown category": (
        lambda c: _first(c)["segments_info"][0].update(category_id=77),
        "category_id 77, which is none of the 19 categories",
    ),
    "no segments": (
        lambda c: _first(c).pop("segments_info"),
        "image_id, file_name and segments_info are needed",
    ),
    "an id that is a text": (
        lambda c: _first(c)["segments_info"][0].update(id="x"),
        "expected an entry with a whole number 'id'",
    ),
    "an id of 0": (lambda c: _first(c)["segments_info"][0].update(id=0), "outside 1..16777215"),
    "twice": (lambda c: c["annotations"].append(_first(c)), "is annotated twice"),
    "no image": (lambda c: _first(c).update(image_id="nobody"), "image nobody is annotated"),
    "outside": (lambda c: _first(c).update(file_name="../../a.png"), "points outside"),
    "no annotations": (lambda c: c.pop("annotations"), "expected a list under 'annotations'"),
}


@pytest.mark.parametrize("kind", SPOILT)
def test_spoiled_annotation_files(copy: Path, kind: str) -> None:
    change, message = SPOILT[kind]
    edit(copy, change)
    with pytest.raises(DataError) as failure:
        CityscapesPanoptic(str(copy), "val")
    assert message in str(failure.value)
    assert str(annotation_file(copy)) in str(failure.value)
    assert "\n" not in str(failure.value)


def test_an_id_in_the_png_that_the_json_lacks(copy: Path) -> None:
    edit(copy, lambda content: _first(content)["segments_info"].pop())
    dataset = CityscapesPanoptic(str(copy), "val")
    with pytest.raises(DataError, match=r"id \d+ at pixel \(y \d+, x \d+\) is not in the JSON"):
        dataset[0]


def test_image_and_annotation_of_different_sizes(copy: Path) -> None:
    record = CityscapesPanoptic(str(copy), "val").records[0]
    Image.fromarray(read_image(record.image_path)[:, :99]).save(record.image_path)
    with pytest.raises(DataError, match=r"annotation is 128 x 64 pixels, its image .* 99 x 64"):
        CityscapesPanoptic(str(copy), "val")[0]


def test_missing_folders_and_files_say_what_to_do(copy: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="dataset_root must hold Cityscapes' leftImg8bit"):
        CityscapesPanoptic(str(tmp_path / "nowhere"), "train")
    annotation_file(copy).unlink()
    with pytest.raises(DataError, match="make it with: panoptic-deeplab convert prepare-"):
        CityscapesPanoptic(str(copy), "val")


def test_a_missing_or_truncated_label(copy: Path) -> None:
    dataset = CityscapesPanoptic(str(copy), "val")
    path = dataset.records[0].label_path
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(DataError, match=f"{path.name}: not a readable image"):
        dataset[0]
    path.unlink()
    with pytest.raises(DataError, match=f"{path.name}: no such file"):
        dataset[0]


def test_a_data_set_that_cannot_be_written_to_is_prepared_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("leftImg8bit", "gtFine"):
        (tmp_path / folder).mkdir()
    monkeypatch.setattr("os.access", lambda path, mode: False)
    message = r"prepare-cityscapes --dataset_root .* --save_dir DIR, which is then the dataset_root"
    with pytest.raises(DataError, match=message):
        CityscapesPanoptic(str(tmp_path), "train")


def test_sequences_are_in_order_and_named(copy: Path) -> None:
    edit(copy, lambda content: content["annotations"].reverse())
    records = CityscapesSequences(str(copy), "val").records
    assert [r.image_id for r in records] == sorted(r.image_id for r in records)
    assert all(record.image_id == f"{record.sequence}_000019" for record in records)
    assert {r.sequence for r in CityscapesPanoptic(str(copy), "val").records} == {None}


def test_frames_of_a_sequence_come_by_their_numbers(copy: Path) -> None:
    names = iter(["a_1_5", "a_10", "a_9"])  # sequence a between its frames in alphabetical order
    path = annotation_file(copy)
    content = path.read_text()
    for image in sorted((copy / "leftImg8bit" / "val").rglob("*.png")):
        new = next(names)
        content = content.replace(f'"{image.name.removesuffix("_leftImg8bit.png")}"', f'"{new}"')
        image.rename(image.with_name(f"{new}_leftImg8bit.png"))
    path.write_text(content)
    records = CityscapesSequences(str(copy), "val").records
    assert [(r.sequence, r.image_id) for r in records] == [
        ("a", "a_9"),
        ("a", "a_10"),
        ("a_1", "a_1_5"),
    ]


def test_an_image_that_is_no_frame_is_told(copy: Path) -> None:
    image = next((copy / "leftImg8bit" / "val").rglob("*.png"))
    old = image.name.removesuffix("_leftImg8bit.png")
    image.rename(image.with_name("street_leftImg8bit.png"))
    path = annotation_file(copy)
    path.write_text(path.read_text().replace(f'"{old}"', '"street"'))
    with pytest.raises(DataError, match=r"^image street: expected a frame of a sequence, TOWN_SEQ"):
        CityscapesSequences(str(copy), "val")
