"""The fingerprint of a model changes with what changes a prediction, and with nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from panoptic_deeplab.formats.cityscapes import CITYSCAPES
from panoptic_deeplab.inference.fingerprint import fingerprint
from panoptic_deeplab.inference.location import ModelFiles
from panoptic_deeplab.inference.options import LoadOptions
from panoptic_deeplab.tiles import Tiling
from panoptic_deeplab.views import Augmentation

CONFIG = "panoptic_deeplab_lite_scenes"


def of(folder: Path, options: LoadOptions | None = None, config: str | None = CONFIG) -> str:
    files = ModelFiles(folder / "model.onnx", config, config is None)
    return fingerprint(files, options or LoadOptions(), CITYSCAPES)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A folder with weights."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.onnx").write_bytes(b"weights")
    return folder


@pytest.mark.parametrize(
    "options",
    [
        LoadOptions(device="cpu"),
        LoadOptions(runtime="openvino"),
        LoadOptions(opts=["batch_size=3", "iters=7"]),
    ],
)
def test_equal_models_have_equal_fingerprints(
    options: LoadOptions, model: Path, tmp_path: Path
) -> None:
    moved = Path(shutil.copytree(model, tmp_path / "moved"))
    assert of(moved, options) == of(model)


@pytest.mark.parametrize(
    "options",
    [
        LoadOptions(grouping={"top_k": 7}),
        LoadOptions(opts=["postprocessor.top_k=7"]),
        LoadOptions(views=Augmentation((0.5, 1.0))),
        LoadOptions(tiling=Tiling((256, 512))),
    ],
)
def test_settings_count(options: LoadOptions, model: Path) -> None:
    assert of(model, options) != of(model)


def test_weights_configuration_and_description_count(model: Path) -> None:
    found = {of(model), of(model, config=None)}
    (model / "deploy.yaml").write_text("grouping: {}")
    found.add(of(model, config=None))
    (model / "model.onnx").write_bytes(b"other weights")
    found |= {of(model), of(model, config=None)}
    assert len(found) == 5


def test_a_setting_counts_the_same_by_flag_and_by_configuration(model: Path) -> None:
    by_flag = LoadOptions(grouping={"top_k": 7})
    assert of(model, by_flag) == of(model, LoadOptions(opts=["postprocessor.top_k=7"]))
