"""An export is made on the CPU: a GPU's rounding would fail the comparison."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import paddle
import pytest

from panoptic_deeplab.cli import export
from panoptic_deeplab.errors import UsageError
from panoptic_deeplab.inference import loading
from panoptic_deeplab.inference.options import LoadOptions


@pytest.mark.parametrize("device", ["auto", "cpu", "gpu"])
def test_an_export_is_made_on_the_cpu_whatever_is_asked_for(
    device: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked: list[str] = []

    def load(files: object, options: LoadOptions) -> None:
        asked.append(options.device)
        raise UsageError("enough seen")

    monkeypatch.setattr(loading, "load_predictor", load)
    weights = tmp_path / "model.pdparams"
    paddle.save({"weight": np.zeros(1, np.float32)}, str(weights))
    words = ["--config", "panoptic_deeplab_lite_scenes", "--model_path", str(weights)]
    assert export.main([*words, "--save_dir", str(tmp_path / "out"), "--device", device]) == 2
    assert asked == ["cpu"]
    said = capsys.readouterr()
    assert "enough seen" in said.err
    assert ("exports are made and compared on the CPU" in said.out) == (device == "gpu")
