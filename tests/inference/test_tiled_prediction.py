"""Tiles from the command line and from Python, for both ways in which they come together."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import paddle
import pytest

import panoptic_deeplab
from panoptic_deeplab.cli import predict as predict_tool
from panoptic_deeplab.cli import val as val_tool
from panoptic_deeplab.config import Config
from panoptic_deeplab.formats.images import read_ids, write_image

SIZE = (150, 220)


@pytest.fixture(params=["tiny_config", "tiny_top_down_config", "tiny_panoptic_fpn_config"])
def checkpoint(request: pytest.FixtureRequest, tmp_path: Path) -> list[str]:
    config = request.getfixturevalue(request.param)
    paddle.seed(3)
    paddle.save(Config(config).model.state_dict(), str(tmp_path / "model.pdparams"))
    return ["--config", str(config), "--model_path", str(tmp_path / "model.pdparams")]


TILE = ["--device", "cpu", "--tile", "96", "64", "--tile_overlap", "16"]


def test_tiles_from_the_command_line_and_from_python(checkpoint: list[str], tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)
    write_image(tmp_path / "images" / "a.png", image)
    words = ["--image_path", str(tmp_path / "images"), "--save_dir", str(tmp_path / "out")]
    assert predict_tool.main([*checkpoint, *TILE, *words]) == 0
    ids = read_ids(tmp_path / "out" / "panoptic" / "a.png")
    assert ids.shape == SIZE
    model = panoptic_deeplab.load_model(
        checkpoint[3], "cpu", checkpoint[1], tile=(64, 96), tile_overlap=16
    )
    result = model(image)
    assert (result.ids == ids).all()
    assert {segment.id for segment in result} == set(np.unique(ids).tolist()) - {0}


def test_val_takes_tiles(checkpoint: list[str], tmp_path: Path) -> None:
    target = tmp_path / "scores.json"
    assert val_tool.main([*checkpoint, *TILE, "--json", str(target)]) == 0
    evaluated = json.loads(target.read_text())["evaluated"]
    assert (evaluated["tile"], evaluated["tile_overlap"]) == ([96, 64], 16)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--tile_overlap", "8"], "--tile_overlap does nothing without --tile WIDTH HEIGHT"),
        (["--tile", "640", "32"], "a tile needs sides of at least 64 pixels, got 640 x 32"),
        (["--tile", "96", "64", "--tile_overlap", "40"], "can overlap by 0..32 pixels, got 40"),
    ],
)
def test_tiles_that_cannot_be_asked_for(
    words: list[str], message: str, capsys: pytest.CaptureFixture
) -> None:
    assert predict_tool.main(["--model_path", "x", "--image_path", "y", *words]) == 2
    assert message in capsys.readouterr().err
