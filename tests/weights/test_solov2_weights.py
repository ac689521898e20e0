"""Weights of SOLOv2 as mmdetection publishes them become a network's here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from torch_files import dictionary, text, write_old_pth

from panoptic_deeplab.cli.weights import main
from panoptic_deeplab.config import Config
from panoptic_deeplab.weights import read_weights

CONFIG = """
name: own
categories:
  - {id: 1, name: car, isthing: 1, color: [0, 0, 1]}
  - {id: 2, name: road, isthing: 0, color: [0, 0, 2]}
  - {id: 3, name: person, isthing: 1, color: [0, 0, 3]}
model: {type: SOLOv2, channels: 8, solo_channels: 32, stacked_convs: 1, kernel_channels: 32,
  mask_channels: 32, backbone: {type: ResNet, depth: 18, width: 8}}
"""


def convert(folder: Path, *classes: str) -> tuple[int, dict[str, np.ndarray]]:
    """Convert drawn weights whose file names these classes; return the code and the weights."""
    config = folder / "small.yml"
    config.write_text(CONFIG)
    random = np.random.default_rng(0)
    there = {
        name: random.normal(size=tuple(value.shape)).astype(np.float32)
        for name, value in Config(config).model.state_dict().items()
    }
    listed = b"](" + b"".join(map(text, classes)) + b"e"
    beside = {"meta": dictionary({"CLASSES": listed, "mmdet_version": text("2.25.0")})}
    weights = write_old_pth(folder / "solo.pth", there, beside)
    paths = {"--config": config, "--model_path": weights, "--save_dir": folder / "converted"}
    return main(["convert", *(str(part) for pair in paths.items() for part in pair)]), there


def test_things_alone_in_another_order(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, there = convert(tmp_path, "person", "car")
    assert code == 0
    here = read_weights(tmp_path / "converted")
    for name, array in there.items():
        expected = array[::-1] if name.startswith("mask_head.conv_cls.") else array
        np.testing.assert_array_equal(here[name], expected, err_msg=name)
    assert "SOLOv2 of mmdetection" in capsys.readouterr().out


def test_other_things_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _ = convert(tmp_path, "person", "cat")
    assert code == 1
    assert "expected weights for the 2 classes of own" in capsys.readouterr().err
