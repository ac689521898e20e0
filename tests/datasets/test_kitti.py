"""KittiPanoptic: ids, sizes and splits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from panoptic_deeplab.config import Config
from panoptic_deeplab.datasets import KittiPanoptic
from panoptic_deeplab.errors import DataError, UsageError
from panoptic_deeplab.formats.images import write_ids, write_image
from panoptic_deeplab.formats.kitti import KITTI
from panoptic_deeplab.structures import Segment

# road 7, car 26: cars 26001 and 26002, a car crowd 26, ground 6 and unlabeled 0 are void
IDS = np.array([[7, 7, 26001, 26001], [26, 6, 0, 26002]], np.int32)
ROAD, CAR = 0, 13


def make_split(root: Path, mode: str, ids: np.ndarray = IDS, labeled: bool = True) -> Path:
    folder = root / mode
    write_image(folder / "images" / "000001.png", np.zeros((3, 6, 3), np.uint8))
    if labeled:
        write_ids(folder / "annotations" / "000001.png", ids)
    return folder


def test_ids_become_segments(tmp_path: Path) -> None:
    make_split(tmp_path, "training")
    truth = KittiPanoptic(str(tmp_path), size=[4, 2]).truth(0)
    assert truth.ids.dtype == np.int32
    assert truth.ids.tolist() == [[7, 7, 26001, 26001], [26, 0, 0, 26002]]
    assert truth.segments == [
        Segment(7, ROAD, False, 2),
        Segment(26, CAR, True, 1),
        Segment(26001, CAR, False, 2),
        Segment(26002, CAR, False, 1),
    ]
    assert KITTI.categories[CAR].official_id == 26
    assert KITTI.thing_ids == tuple(range(11, 19))


def test_image_and_annotation_come_to_one_size(tmp_path: Path) -> None:
    """The image is 6 x 3, the annotation 4 x 2; both are used at 8 x 4, labels as they are."""
    make_split(tmp_path, "training")
    sample = KittiPanoptic(str(tmp_path), size=[8, 4])[0]
    assert sample["image"].shape == (4, 8, 3)
    assert sample["frame"].original_size == (4, 8)
    assert sample["panoptic"][:, ::2][::2].tolist() == [[7, 7, 26001, 26001], [26, 0, 0, 26002]]
    assert {s.id: s.area for s in sample["segments"]} == {7: 8, 26: 4, 26001: 8, 26002: 4}
    assert KittiPanoptic(str(tmp_path))[0]["image"].shape == (384, 1280, 3)
    with pytest.raises(DataError, match=r"annotation is 4 x 2 pixels, its image .* 6 x 3"):
        KittiPanoptic(str(tmp_path), size=None)[0]


def test_a_split_without_annotations_predicts(tmp_path: Path) -> None:
    make_split(tmp_path, "testing", labeled=False)
    dataset = KittiPanoptic(str(tmp_path), "testing")
    assert "panoptic" not in dataset[0]
    with pytest.raises(DataError, match=r"has no annotation; .* which has no folder annotations"):
        dataset.truth(0)


def test_what_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"training/images: no such folder; dataset_root must hold"):
        KittiPanoptic(str(tmp_path))
    folder = make_split(tmp_path, "training", ids=np.full((2, 4), 99001, np.int32))
    with pytest.raises(DataError, match=r"id 99001 at pixel \(y 0, x 0\) is no instance id of"):
        KittiPanoptic(str(tmp_path)).truth(0)
    with pytest.raises(UsageError, match=r"size must be \[width, height\]"):
        KittiPanoptic(str(tmp_path), size=[0, 4])
    write_ids(folder / "annotations" / "000002.png", IDS)
    with pytest.raises(DataError, match=r"annotates an image 000002\.\* that does not lie below"):
        KittiPanoptic(str(tmp_path))


def test_the_configuration_reads_it(tmp_path: Path) -> None:
    for mode in ("training", "validation"):
        make_split(tmp_path, mode)
    opts = [f"{split}.dataset_root={tmp_path}" for split in ("train_dataset", "val_dataset")]
    config = Config("panoptic_deeplab_resnet50_os32_kitti_1281x385_bs8_26k_lr00005", opts)
    assert config.train_dataset[0]["panoptic"].shape == (385, 1281)
    sample = config.val_dataset[0]
    assert sample["image"].shape == (385, 1281, 3)
    assert sample["frame"].valid_box == (0, 0, 384, 1280)
