"""STQ and VPQ of folders, and through the commands `evaluate` and `val`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from panoptic_deeplab.cli import evaluate, val
from panoptic_deeplab.errors import UserError
from panoptic_deeplab.evaluation import evaluate_stq_files, evaluate_vpq_files, format_sequences
from panoptic_deeplab.formats.images import write_image

ROAD, CAR = (0, 0, 0), 13
FRAMES = {"0002/9": [1, 1], "0002/10": [1, 1], "0006/0": [3, 2]}
"""The ids of two cars' pixels by frame."""


def write_frames(folder: Path, frames: dict[str, list[int]], channel: int = 2) -> Path:
    """PNGs with a pixel of road and cars, whose ids lie in a channel."""
    for name, ids in frames.items():
        pixels = np.zeros((1, 3, 3), np.uint8)
        pixels[0, 1:, 0], pixels[0, 1:, channel] = CAR, ids
        path = folder / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_image(path, pixels)
    return folder


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    return write_frames(tmp_path / "panoptic_maps" / "val", FRAMES)


@pytest.fixture
def switched(tmp_path: Path) -> Path:
    """The car of the first sequence has another id in its second frame; other frames too many."""
    frames = FRAMES | {"0002/10": [4, 4], "0099/0": [1, 1]}
    return write_frames(tmp_path / "found", frames)


def test_scores_of_folders(truth: Path, switched: Path) -> None:
    results = evaluate_stq_files(truth, switched, num_workers=2)
    # A half of one tube's pixels in each of two tubes; the two cars of 0006 are followed.
    assert results["per_sequence"]["0002"]["aq"] == 0.5
    assert results["per_sequence"]["0006"]["aq"] == 1
    assert (results["aq"], results["iou"], results["tubes"]) == (pytest.approx(2.5 / 3), 1, 3)
    by_window = evaluate_vpq_files(truth, switched)["vpq_by_window"]
    assert by_window["1"]["all"]["vpq"] == 1
    assert by_window["2"]["things"]["vpq"] == 0  # neither half is more than half of the tube
    assert (by_window["2"]["windows"], by_window["3"]["windows"]) == (1, 0)


def test_two_channels_hold_the_same(truth: Path, tmp_path: Path) -> None:
    found = write_frames(tmp_path / "raw_panoptic", FRAMES, channel=1)
    assert evaluate_stq_files(truth, found, png="two_channel_png")["stq"] == 1


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda gt, pred: shutil.rmtree(pred / "0006"), r"0006/0.png: no such file.* 1 of 3"),
        (lambda gt, pred: shutil.move(gt / "0006/0.png", gt / "0.png"), "in no folder of a seq"),
        (lambda gt, pred: shutil.rmtree(gt), "no such folder"),
        (
            lambda gt, pred: write_image(pred / "0006/0.png", np.zeros((2, 3, 3), np.uint8)),
            r"0006/0.png: the prediction is 2x3 but the annotation is 1x3",
        ),
        (
            lambda gt, pred: write_image(gt / "0006/0.png", np.full((1, 3, 3), 77, np.uint8)),
            r"0006/0.png: the annotation has class 77, expected 0\.\.18 or 255",
        ),
    ],
)
def test_folders_that_cannot_be_scored(truth, switched, break_it, message) -> None:
    break_it(truth, switched)
    with pytest.raises(UserError, match=message):
        evaluate_stq_files(truth, switched)


def test_unknown_names(truth: Path) -> None:
    with pytest.raises(UserError, match="data_set must be one of kitti_step, motchallenge_step"):
        evaluate_vpq_files(truth, truth, data_set="kitti")


def test_the_command_prints_a_row_for_each_sequence(truth, switched, tmp_path, capsys) -> None:
    report = tmp_path / "scores.json"
    assert evaluate.main(["stq", str(truth), str(switched), "--json", str(report)]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["sequence,", "%", "STQ", "AQ", "IoU", "frames", "tubes", "predicted"] in lines
    assert ["0002", "70.71", "50.00", "100.00", "2", "1", "2"] in lines
    assert ["car", "100.00"] in lines
    assert json.loads(report.read_text())["per_sequence"]["0006"]["stq"] == 1
    assert evaluate.main(["vpq", str(truth), str(switched), "--rule", "deeplab2"]) == 0
    out = capsys.readouterr().out
    assert "VPQ4" in out
    assert ["car", "100.00", "0.00", "n/a", "n/a"] in [line.split() for line in out.splitlines()]


@pytest.mark.parametrize(
    "flags", [["stq", "--rule", "coco"], ["pixel", "--png", "two_channel_png"]]
)
def test_flags_of_other_forms(flags, truth, capsys) -> None:
    assert evaluate.main([*flags, str(truth), str(truth)]) == 2
    assert f"{flags[1]} is for" in capsys.readouterr().err


CONFIG = """
val_dataset: {{type: KittiStep, dataset_root: {root}, mode: val}}
evaluators: [{{type: PanopticQuality}}, {{type: SegmentationTrackingQuality}},
  {{type: VideoPanopticQuality, window_sizes: [1, 2]}}]
"""


def test_val_scores_files_of_a_data_set_of_sequences(truth, switched, tmp_path, capsys) -> None:
    for frame in FRAMES:
        image = tmp_path / "images" / "val" / f"{frame}.png"
        image.parent.mkdir(parents=True, exist_ok=True)
        write_image(image, np.zeros((1, 3, 3), np.uint8))
    config = tmp_path / "step.yml"
    config.write_text(CONFIG.format(root=tmp_path))
    report = tmp_path / "scores.json"
    flags = ["--predictions", str(switched), "--format", "kitti_step", "--json", str(report)]
    assert val.main(["--config", str(config), "--device", "cpu", *flags]) == 0
    results = json.loads(report.read_text())
    assert results["All"]["pq"] == 1
    assert results["aq"] == pytest.approx(evaluate_stq_files(truth, switched)["aq"])
    assert results["per_sequence"]["0002"]["vpq_2"] == 0.5
    assert {"stq", "vpq", "frames"} <= results["per_sequence"]["0006"].keys()
    assert "VPQ2" in capsys.readouterr().out
    assert format_sequences({"per_class": {}}) == ""
