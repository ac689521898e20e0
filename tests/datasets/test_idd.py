"""IDD as its own script writes it: names in one folder, annotations of one size."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from panoptic_deeplab.config import Config
from panoptic_deeplab.datasets import IddPanoptic
from panoptic_deeplab.errors import DataError, collecting_errors
from panoptic_deeplab.formats.images import write_ids

CONFIG = "panoptic_deeplab_resnet50_os32_idd_1281x737_bs8_90k_lr00005"
SIZE = (8, 12)
ROAD, CAR = 70, 9000


def make_split(root: Path, mode: str, frames: dict[str, str], suffix: str = ".png") -> Path:
    """Images of 24 x 16 pixels, annotated at 12 x 8; `frames` are drive -> frame."""
    source = root / "gtFine" / f"{mode}_panoptic.json"
    images, annotations = [], []
    for drive, frame in frames.items():
        name = f"{drive}_{frame}_gtFine_panopticlevel3Ids.png"
        ids = np.full(SIZE, ROAD, np.int32)
        ids[:2, :3] = CAR
        write_ids(source.with_suffix("") / name, ids)
        image_path = root / "leftImg8bit" / mode / drive / f"{frame}_leftImg8bit{suffix}"
        image_path.parent.mkdir(parents=True)
        Image.new("RGB", (24, 16), (9, 9, 9)).save(image_path)
        images.append({"id": name, "file_name": name, "height": SIZE[0], "width": SIZE[1]})
        segments = [
            {"id": ROAD, "category_id": 0, "area": 90, "iscrowd": 0},
            {"id": CAR, "category_id": 9, "area": 6, "iscrowd": 0},
        ]
        annotations.append({"image_id": name, "file_name": name, "segments_info": segments})
    categories = [{"id": 0, "name": "road", "isthing": 0}, {"id": 9, "name": "car", "isthing": 1}]
    content = {"images": images, "annotations": annotations, "categories": categories}
    source.write_text(json.dumps(content))
    return source


FRAMES = {"200": "frame0000", "201": "frame0000", "202": "00_1"}


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".PNG"])
def test_the_shipped_configuration_reads_it(tmp_path: Path, suffix: str) -> None:
    for mode in ("train", "val"):
        make_split(tmp_path, mode, FRAMES, suffix)
    roots = [f"{mode}_dataset.dataset_root={tmp_path}" for mode in ("train", "val")]
    config = Config(CONFIG, roots)
    for dataset in (config.train_dataset, config.val_dataset):
        places = [(r.image_path.parent.name, r.image_path.name) for r in dataset.records]
        assert places == [
            (drive, f"{frame}_leftImg8bit{suffix}") for drive, frame in FRAMES.items()
        ]
        sample = dataset.load(1)
        assert sample["image"].shape == (*SIZE, 3)
        assert (sample["panoptic"] == CAR).sum() == 6
        assert [segment.area for segment in sample["segments"]] == [90, 6]
    assert [category.name for category in config.info.categories] == ["road", "car"]


def test_what_is_wrong_is_told_of_all_images(tmp_path: Path) -> None:
    source = make_split(tmp_path, "val", FRAMES)
    folder = tmp_path / "leftImg8bit" / "val"
    (folder / "201" / "frame0000_leftImg8bit.png").rename(folder / "201" / "x_leftImg8bit.png")
    content = json.loads(source.read_text())
    content["annotations"].append(content["annotations"][0])
    source.write_text(json.dumps(content))
    with collecting_errors() as errors:
        assert len(IddPanoptic(str(tmp_path), "val")) == 2
    kinds = ["annotation without picture", "duplicate image", "picture without annotation"]
    assert [error.kind for error in errors] == kinds
    assert "no image {drive}/{frame}_leftImg8bit.* of 201_frame0000 lies in" in str(errors[0])


def test_a_missing_json_names_the_script(tmp_path: Path) -> None:
    (tmp_path / "leftImg8bit" / "val").mkdir(parents=True)
    with pytest.raises(
        DataError, match=r"val_panoptic\.json: no such file; make it with AutoNUE's"
    ):
        IddPanoptic(str(tmp_path), "val")
    with pytest.raises(DataError, match="dataset_root must hold IDD's leftImg8bit and gtFine"):
        IddPanoptic(str(tmp_path), "train")
