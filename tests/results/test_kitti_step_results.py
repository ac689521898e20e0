"""Results in KITTI-STEP's form are read as the annotations are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from panoptic_deeplab.errors import UsageError
from panoptic_deeplab.formats.kitti_step import KITTI_STEP, read_step_map
from panoptic_deeplab.result import Result
from panoptic_deeplab.results.kitti_step import KittiStep, MotChallengeStep
from panoptic_deeplab.structures import Category, DatasetInfo, Prediction, Segment

RIDER, CAR = 0, 1
INFO = DatasetInfo(
    "cars", (Category("rider", True, (255, 0, 0), 1), Category("car", True, (0, 0, 142), 2))
)


def test_cars_keep_their_tracks_and_riders_have_none(tmp_path: Path) -> None:
    ids = np.array([[1, 2, 3, 0]], np.int32)
    segments = [Segment(1, RIDER, area=1, track_id=7), Segment(2, CAR, area=1, track_id=300)]
    segments.append(Segment(3, CAR, area=1, track_id=4))
    result = Result(np.zeros((1, 4, 3), np.uint8), Prediction(ids, segments), INFO)
    rendered = KittiStep(tmp_path, INFO).render("0002/000010", result)
    (tmp_path / "a.png").write_bytes(rendered.files["kitti_step/0002/000010.png"])
    found = read_step_map(tmp_path / "a.png", KITTI_STEP)
    names = {(KITTI_STEP.categories[s.category].name, s.track_id) for s in found.segments}
    assert names == {("rider", None), ("car", 300), ("car", 4)}
    assert found.ids[0, 3] == 0


def test_a_class_that_the_form_lacks(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="MOTChallenge-STEP has no class 'car'"):
        MotChallengeStep(tmp_path, INFO)
