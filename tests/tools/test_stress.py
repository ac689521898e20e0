"""The stress tests, in short: they run, and what they look for is not there."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import stress_disk
import stress_predict
import stress_verbs
from stressing.trials import Trial, chosen

from panoptic_deeplab.errors import UsageError


@pytest.mark.timeout(300)
def test_killed_conversions_lose_nothing(capsys: pytest.CaptureFixture) -> None:
    assert stress_verbs.main(["--kills", "3", "--command", "convert to-bdd100k"]) == 0
    assert capsys.readouterr().out.endswith("3 kills, nothing lost\n")


@pytest.mark.timeout(300)
def test_killed_predictions_leave_lists_that_agree(capsys: pytest.CaptureFixture) -> None:
    assert stress_predict.main(["--kills", "2", "--images", "24"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("2 kills of predictions: all lists agree")
    assert said.endswith("24 images that went on: one correct result of each\n")


@pytest.mark.timeout(300)
def test_a_full_disk_loses_nothing(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    mount = ["mount", "-t", "tmpfs", "tmpfs", str(tmp_path)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting a small disk needs root")
    subprocess.run(["umount", str(tmp_path)], check=True)
    assert stress_disk.main(["--command", "convert from-bdd100k"]) == 0
    assert "3 full disks" in capsys.readouterr().out


def test_an_unknown_command_is_told() -> None:
    with pytest.raises(UsageError, match="--command must be one of export, got 'paint'"):
        chosen({"export": Trial([], [], Path())}, "paint")
