"""KittiStep: frames in order, with their sequences and tracks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from panoptic_deeplab.datasets import KittiStep, MotChallengeStep
from panoptic_deeplab.errors import DataError
from panoptic_deeplab.formats.images import write_image
from panoptic_deeplab.formats.kitti_step import KITTI_STEP, MOTCHALLENGE_STEP

CAR = 13
FRAMES = ["0002/9", "0002/10", "0010/000000"]


def make_split(root: Path, frames: list[str] = FRAMES, labeled: bool = True) -> None:
    for number, frame in enumerate(frames, 1):
        write_image(root / f"images/val/{frame}.png", np.zeros((2, 3, 3), np.uint8))
        if labeled:
            car = np.full((2, 3, 3), (CAR, 0, number), np.uint8)
            write_image(root / f"panoptic_maps/val/{frame}.png", car)


@pytest.fixture(autouse=True)
def folders(tmp_path: Path) -> None:
    for frame in FRAMES:
        for part in ("images", "panoptic_maps"):
            (tmp_path / part / "val" / frame).parent.mkdir(parents=True, exist_ok=True)


def test_frames_come_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    make_split(tmp_path)
    dataset = KittiStep(str(tmp_path), "val")
    assert [record.image_id for record in dataset.records] == FRAMES
    assert [dataset.truth(i).sequence for i in range(3)] == ["0002", "0002", "0010"]
    assert [dataset.truth(i).segments[0].track_id for i in range(3)] == [1, 2, 3]
    assert dataset[0]["segments"][0].category == CAR
    assert dataset.info is KITTI_STEP is KittiStep.describe(dataset_root="elsewhere")


def test_a_split_without_maps_predicts(tmp_path: Path) -> None:
    make_split(tmp_path, labeled=False)
    for folder in sorted((tmp_path / "panoptic_maps").rglob("*"), reverse=True):
        folder.rmdir()
    dataset = KittiStep(str(tmp_path), "val")
    assert [record.sequence for record in dataset.records] == ["0002", "0002", "0010"]
    with pytest.raises(DataError, match="no folder panoptic_maps/val"):
        dataset.truth(0)


def test_an_annotation_needs_its_image(tmp_path: Path) -> None:
    make_split(tmp_path)
    (tmp_path / "images/val/0002/10.png").unlink()
    with pytest.raises(DataError, match=r"annotates an image 0002/10\.\*"):
        KittiStep(str(tmp_path), "val")


def test_the_other_challenge_has_its_own_classes(tmp_path: Path) -> None:
    make_split(tmp_path)
    dataset = MotChallengeStep(str(tmp_path), "val")
    assert dataset.info is MOTCHALLENGE_STEP
    with pytest.raises(DataError, match="class 13 at pixel"):
        dataset.truth(0)
    with pytest.raises(DataError, match="no such folder; dataset_root must hold images/train"):
        MotChallengeStep(str(tmp_path / "elsewhere"))
