"""Methods whose grouping has no form in a file: what follows the network is computed after it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import paddle
import pytest
import yaml

from panoptic_deeplab.cli import export as export_tool
from panoptic_deeplab.config import Config
from panoptic_deeplab.errors import DataError
from panoptic_deeplab.inference.model import load_model

CONFIG = """
name: own
categories:
  - {id: 1, name: car, isthing: 1, color: [0, 0, 1]}
  - {id: 2, name: road, isthing: 0, color: [0, 0, 2]}
model:
  type: EfficientPSSolo
  backbone: {type: EfficientNet, variant: b0, width: 0.25, depth: 0.25}
  channels: 16
  semantic_channels: 16
  grids: [6, 5, 4, 3, 2]
  solo_channels: 32
  stacked_convs: 1
  kernel_channels: 32
  mask_channels: 32
val_dataset: {type: CocoPanoptic, dataset_root: none, image_root: none, annotation_file: none.json}
postprocessor: {type: SoloFusion, min_stuff_area: 1, score_threshold: 0.1}
"""


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with drawn weights that find something everywhere."""
    folder = tmp_path_factory.mktemp("checkpoint")
    (folder / "config.yml").write_text(CONFIG)
    paddle.seed(0)
    model = Config(folder / "config.yml").model
    for name, value in model.mask_head.named_parameters():
        if name == "conv_cls.bias":
            value.set_value(paddle.full_like(value, 1.0))
        elif value.ndim == 4:
            value.set_value(10 * value)
    paddle.save(model.state_dict(), str(folder / "model.pdparams"))
    return folder


def export(checkpoint: Path, target: Path, *more: str) -> int:
    words = ["--model_path", str(checkpoint), "--save_dir", str(target), "--device", "cpu"]
    return export_tool.main([*words, "--repeats", "1", *more])


def test_a_file_of_the_network_predicts_as_its_model(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export(checkpoint, tmp_path / "onnx", "--format", "onnx") == 0
    told = capsys.readouterr().out
    assert all(f"{name} differs by at most" in told for name in ("semantic", "kernels"))
    image = np.random.default_rng(0).integers(0, 256, (70, 90, 3), np.uint8)
    image[20:50, 30:70] = 255
    expected, found = (load_model(p, device="cpu")(image) for p in (checkpoint, tmp_path / "onnx"))
    assert any(segment.is_thing for segment in expected)
    assert [s.label for s in found] == [s.label for s in expected]
    assert (found.ids != expected.ids).mean() < 0.01  # rounding decides some pixels

    path = tmp_path / "onnx" / "deploy.yaml"
    described = yaml.safe_load(path.read_text())
    described["host"]["instances"]["type"] = "Nothing"
    path.write_text(yaml.safe_dump(described))
    with pytest.raises(DataError, match="names a part that cannot be made"):
        load_model(tmp_path / "onnx", device="cpu")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--with_postprocess", "leave it out: SoloFusion's network is exported"),
        ("--format onnx --int8 --calibration .", "--int8 is for methods whose grouping"),
        ("--format triton --with_postprocess", "--format triton needs ids from one file, in which"),
        ("--format web --with_postprocess", "SoloFusion has no form; use --format onnx"),
    ],
)
def test_the_grouping_has_no_form_in_the_file(
    words: str,
    message: str,
    checkpoint: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert export(checkpoint, tmp_path / "onnx", *words.split()) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "onnx").exists()
