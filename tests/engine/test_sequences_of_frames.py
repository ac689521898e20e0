"""An evaluation of sequences: each stays with one process, in order, and things are tracked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from panoptic_deeplab.datasets import KittiStep
from panoptic_deeplab.engine import distributed
from panoptic_deeplab.engine.evaluator import evaluate_images
from panoptic_deeplab.evaluation import SegmentationTrackingQuality
from panoptic_deeplab.formats.images import write_image
from panoptic_deeplab.formats.kitti_step import KITTI_STEP
from panoptic_deeplab.stopwatch import Stopwatch
from panoptic_deeplab.structures import Prediction, Segment

CAR = 13
SEQUENCES = {"0001": 3, "0002": 1, "0003": 2}
"""Frames of each; a car of 8 x 8 pixels that stands still on the road."""


class Renumbering:
    """Finds the road, which is black, and the car, to which each image gives another number."""

    def __init__(self) -> None:
        self.info, self.watch, self.count = KITTI_STEP, Stopwatch(), 1

    def predict(self, images: list[np.ndarray]) -> list[Prediction]:
        self.count += 1
        ids = np.where(images[0][..., 0] > 0, self.count, 1)
        return [Prediction(ids, [Segment(1, 0, area=448), Segment(self.count, CAR, area=64)])]


class Noting(SegmentationTrackingQuality):
    """Notes which frames it is given."""

    def reset(self) -> None:
        super().reset()
        self.seen: list[str] = []

    def update(self, prediction, truth) -> None:
        super().update(prediction, truth)
        self.seen.append(truth.sequence)


@pytest.fixture
def dataset(tmp_path: Path) -> KittiStep:
    for sequence, frames in SEQUENCES.items():
        for part in ("images", "panoptic_maps"):
            (tmp_path / part / "val" / sequence).mkdir(parents=True)
        for frame in range(frames):
            label = np.zeros((16, 32, 3), np.uint8)
            label[4:12, 4:12] = CAR, 0, 9
            write_image(tmp_path / f"panoptic_maps/val/{sequence}/{frame:06}.png", label)
            write_image(tmp_path / f"images/val/{sequence}/{frame:06}.png", label * 10)
    return KittiStep(str(tmp_path), "val")


def test_things_are_tracked_through_a_sequence(dataset) -> None:
    results = evaluate_images(Renumbering(), dataset, [SegmentationTrackingQuality(KITTI_STEP)])
    assert results["stq"] == 1
    assert {name: v["frames"] for name, v in results["per_sequence"].items()} == SEQUENCES
    assert results["predicted_tubes"] == 3


@pytest.mark.parametrize(("rank", "mine"), [(0, ["0001"] * 3 + ["0002"]), (1, ["0003"] * 2)])
def test_a_sequence_stays_with_one_process(dataset, monkeypatch, rank, mine) -> None:
    monkeypatch.setattr(distributed, "rank", lambda: rank)
    monkeypatch.setattr(distributed, "world_size", lambda: 2)
    monkeypatch.setattr(distributed, "gather", lambda value: [value])
    evaluator = Noting(KITTI_STEP)
    evaluate_images(Renumbering(), dataset, [evaluator], num_workers=2)
    assert evaluator.seen == mine
