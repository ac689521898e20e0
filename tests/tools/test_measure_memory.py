"""The tool that measures the memory of a prediction by the size of the image."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from drawn_checkpoint import SAMPLE, write_checkpoint

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

import measure_memory


def test_a_row_of_each_size_and_one_of_its_pixels(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_checkpoint(tmp_path)
    words = ["--model_path", str(tmp_path), "--image_path", str(tmp_path / SAMPLE)]
    assert measure_memory.main([*words, "--widths", "130", "260"]) == 0
    rows = [line.split("  ")[0] for line in capsys.readouterr().out.splitlines() if line]
    *_, first, of_pixel, second, _ = rows
    assert [first, of_pixel, second] == ["130 x 75", "bytes a pixel", "260 x 150"]


def test_an_image_is_repeated_in_its_proportions() -> None:
    image = np.arange(2 * 4 * 3, dtype=np.uint8).reshape(2, 4, 3)
    repeated = measure_memory.repeated_to(image, 10)
    assert repeated.shape == (5, 10, 3)
    np.testing.assert_array_equal(repeated[2:4, 4:8], image)
