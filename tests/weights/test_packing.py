"""Checkpoints in half precision, to share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from drawn_checkpoint import SAMPLE, write_checkpoint

import panoptic_deeplab as pdl
from panoptic_deeplab.cli.weights import main
from panoptic_deeplab.errors import DataError
from panoptic_deeplab.weights import INFO_FILE, pack_checkpoint, read_weights
from panoptic_deeplab.weights.packing import halved


def test_a_packed_checkpoint_is_a_smaller_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint, packed = tmp_path / "model", tmp_path / "packed"
    checkpoint.mkdir()
    write_checkpoint(checkpoint)
    assert main(["pack", "--model_path", str(checkpoint), "--save_dir", str(packed)]) == 0
    assert f"{packed / 'model.safetensors'}: " in capsys.readouterr().out
    assert {p.name for p in packed.iterdir()} == {"model.safetensors", "config.yml", INFO_FILE}
    sizes = [path.stat().st_size for path in (*packed.glob("*.s*"), *checkpoint.glob("*.pdparams"))]
    assert sizes[0] < 0.8 * sizes[1]  # of so small a network names take a third

    image = checkpoint / SAMPLE
    whole, half = (pdl.load_model(folder, "cpu")(image) for folder in (checkpoint, packed))
    assert (whole.ids == half.ids).mean() > 0.99
    assert half.segments


def test_what_half_precision_cannot_hold_stays_as_it_is() -> None:
    kept = {
        "vector": np.array([1e-5, 3.3], np.float32),
        "large": np.array([[7e4, 1]], np.float32),
        "counts": np.array([[1, 2]]),
    }
    halves = halved(kept | {"matrix": np.array([[0.5, 65504]], np.float32)})
    assert halves.pop("matrix").dtype == np.float16
    for name, value in halves.items():
        assert value.dtype == kept[name].dtype
        np.testing.assert_array_equal(value, kept[name])


def test_refusals(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint = tmp_path / "model"
    checkpoint.mkdir()
    with pytest.raises(DataError, match="model"):
        pack_checkpoint(checkpoint, tmp_path / "new")
    write_checkpoint(checkpoint)
    words = ["pack", "--model_path", str(checkpoint)]
    assert main([*words, "--save_dir", str(checkpoint)]) == 2
    assert "expected a new or empty folder" in capsys.readouterr().err
    assert main(["pack", "--model_path", str(tmp_path / "no"), "--save_dir", "x"]) == 1
    assert "expected the folder of a checkpoint" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
    assert read_weights(checkpoint)
