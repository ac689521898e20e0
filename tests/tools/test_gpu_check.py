"""The check on GPUs: what passes, fails and is skipped, and that its page tells its commands."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import gpu_check
import numpy as np
import pytest
from gpu_checking import verification
from gpu_checking.checks import Check, checks_in

from panoptic_deeplab.errors import DataError
from panoptic_deeplab.stopwatch import format_profile

PAGE = Path(__file__).parents[2] / "docs" / "gpu.md"


def test_the_page_tells_every_command_in_order() -> None:
    page = PAGE.read_text().replace(" \\\n", " ")
    told = [" ".join(line.split()) for line in page.splitlines()]
    commands = [str(check) for check in checks_in(Path("output/gpu_check"))]
    assert len(commands) <= 15
    assert [line for line in told if line in commands] == commands


def printing(text: str, **settings: object) -> Check:
    command = ["-c", f"print({text!r})"]
    return Check("one", command, verification.passed_tests, **settings)


CHECKS = {
    "passes": (printing("4 passed in 1 s"), "passed", None),
    "gives nothing of what was expected": (printing("none"), "failed", "no test ran"),
    "ends with an error": (
        Check("one", ["-c", "import sys; print('why'); sys.exit(3)"], verification.nothing),
        "failed",
        "ended with exit code 3; why",
    ),
    "needs more GPUs": (printing("4 passed", gpus=2), "skipped", "needs 2 GPUs, there are 1"),
    "needs a package": (
        printing("4 passed", package="not_there"),
        "skipped",
        "needs the package not_there",
    ),
}


@pytest.mark.parametrize("kind", CHECKS)
def test_what_a_check_comes_to(kind: str, tmp_path: Path) -> None:
    check, status, message = CHECKS[kind]
    row = gpu_check.outcome(check, 1, float("inf"), tmp_path)
    assert (row["name"], row["status"]) == ("one", status)
    if message is None:
        assert row["figures"] == {"tests": 4}
    else:
        assert message in row["message"]


def test_a_check_ends_when_the_time_for_all_is_up(tmp_path: Path) -> None:
    check = Check("slow", ["-c", "import time; time.sleep(60)"], verification.nothing)
    row = gpu_check.outcome(check, 0, 0.0, tmp_path)
    assert "not done when the time for all was up" in row["message"]
    assert row["seconds"] < 10


@pytest.mark.parametrize("texts", [["1 passed"], ["1 passed", "none", "2 passed"]])
def test_all_rows_are_written_and_a_failure_is_the_exit_code(
    texts: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu_check, "checks_in", lambda _: [printing(text) for text in texts])
    flags = ["--json", str(tmp_path / "all.json"), "--save_dir", str(tmp_path / "new")]
    assert gpu_check.main(flags) == (0 if len(texts) == 1 else 1)
    report = json.loads((tmp_path / "all.json").read_text())
    assert len(report["checks"]) == len(texts)
    assert "gpus" in report["environment"]
    assert gpu_check.main(flags) == 1, "the folder is there"


def a_run(folder: Path, losses: dict[int, float]) -> Path:
    folder.mkdir()
    rows = [{"kind": "train", "iter": i, "loss": loss, "ips": 2.0} for i, loss in losses.items()]
    rows.append({"kind": "eval", "iter": 9, "results": {"All": {"pq": 0.5}}})
    (folder / "metrics.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return folder


def test_a_training_learns_where_its_loss_falls(tmp_path: Path) -> None:
    found = verification.learned(a_run(tmp_path / "falling", {5: 3.0, 10: 2.0}))
    expected = {"first_loss": 3.0, "last_loss": 2.0, "samples_per_second": 2.0, "pq": 0.5}
    assert found == expected
    for name, losses in {"rising": {5: 2.0, 10: 3.0}, "bad": {5: 2.0, 10: float("nan")}}.items():
        with pytest.raises(DataError):
            verification.learned(a_run(tmp_path / name, losses))


def test_two_trainings_are_near_in_their_common_iterations(tmp_path: Path) -> None:
    whole = a_run(tmp_path / "whole", {5: 4.0, 10: 2.0, 15: 1.0})
    resumed = a_run(tmp_path / "resumed", {10: 2.02, 15: 1.0})
    assert verification.near(resumed, whole, 0.03)["largest_difference"] == pytest.approx(0.01)
    with pytest.raises(DataError, match=r"a loss differs by 1\.00% from .*whole, at most 0%"):
        verification.near(resumed, whole, 0.001)
    with pytest.raises(DataError, match="no log line in common"):
        verification.near(a_run(tmp_path / "other", {1: 1.0, 2: 1.0}), whole, 1.0)


def test_predictions_are_compared_by_their_pixels(tmp_path: Path) -> None:
    for name, others in (("a", 0), ("b", 1), ("c", 99)):
        folder = tmp_path / name / "coco" / "panoptic" / "city"
        folder.mkdir(parents=True)
        image = np.zeros((40, 50, 3), np.uint8)
        image.reshape(-1, 3)[:others] = 1
        cv2.imwrite(str(folder / "x.png"), image)
    a, b, c = (tmp_path / name for name in "abc")
    assert verification.same_ids(a, b)["fraction_of_other_ids"] == pytest.approx(1 / 2000)
    with pytest.raises(DataError, match=r"4\.95% of the pixels"):
        verification.same_ids(a, c)
    with pytest.raises(DataError, match="no prediction"):
        verification.same_ids(tmp_path, a)


def test_figures_are_read_from_what_the_verbs_print() -> None:
    profile = format_profile({"reading": 1.0, "network": 4.0, "grouping": 2.0}, 8.0, 4, "image")
    found = verification.profiled(f"INFO 4 images:\n{profile}\n")
    assert found == {"network_seconds_per_image": 1.0, "grouping_seconds_per_image": 0.5}
    assert verification.agreed("parity: all equal\n") == {"parity": "all equal"}
    with pytest.raises(DataError, match="install onnxruntime-gpu"):
        verification.ran_on_gpu("--device gpu: this ONNX Runtime has no GPU; the CPU computes")
