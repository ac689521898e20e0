"""The steps of the tracker, measured with predictions that are the ground truth."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

import make_scenes
import measure_tracking

from panoptic_deeplab.datasets import CityscapesSequences
from panoptic_deeplab.stopwatch import Stopwatch
from panoptic_deeplab.structures import PanopticMap, Prediction


class Knowing:
    """Predicts what is annotated, with other ids in each frame, and crowds as instances."""

    def __init__(self, dataset: CityscapesSequences) -> None:
        self.watch = Stopwatch()
        self._truths = {
            dataset[i]["image"].tobytes(): dataset.truth(i) for i in range(len(dataset))
        }

    def predict(self, images: list[np.ndarray]) -> list[Prediction]:
        with self.watch.timing("network"):
            return [_renumbered(self._truths[image.tobytes()]) for image in images]


def _renumbered(truth: PanopticMap) -> Prediction:
    present = [s for s in truth.segments if (truth.ids == s.id).any()]
    order = np.random.default_rng(len(present)).permutation(len(present))
    ids, segments = np.zeros_like(truth.ids), []
    for number, place in enumerate(order.tolist(), 1):
        ids[truth.ids == present[place].id] = number
        segments.append(replace(present[place], id=number, iscrowd=False, score=0.9))
    return Prediction(ids, segments)


@pytest.fixture(scope="module")
def sequences(tmp_path_factory: pytest.TempPathFactory) -> CityscapesSequences:
    root = tmp_path_factory.mktemp("made") / "sequences"
    size = ("--height", "64", "--width", "128", "--num_workers", "1")
    assert (
        make_scenes.main(["--output", str(root), "--sequences", "2", "--frames", "6", *size]) == 0
    )
    return CityscapesSequences(str(root), "val")


def test_all_steps_are_scored_and_timed(sequences: CityscapesSequences) -> None:
    rows, seconds = measure_tracking.measure(sequences, Knowing(sequences))
    assert [row["name"] for row in rows] == list(measure_tracking.STEPS)
    assert [row["iou"] for row in rows] == pytest.approx([1.0] * len(rows))
    baseline, *_, best = (row["aq"] for row in rows)
    assert 0.4 < baseline < best <= 1.0
    assert list(seconds) == ["network"]
    assert all(row["seconds"] > 0 for row in rows)
