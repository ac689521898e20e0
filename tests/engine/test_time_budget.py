"""Training for a time: the steps that fit, the same training without a trial, resuming."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from panoptic_deeplab.cli import train
from panoptic_deeplab.engine import distributed
from panoptic_deeplab.engine.plan import TrainingPlan
from panoptic_deeplab.engine.time_budget import Fit, fit_of_run, measure_fit
from panoptic_deeplab.errors import UsageError
from panoptic_deeplab.weights import read_weights

WARM_UP = "lr_scheduler.warmup_iters={}"


def run_train(config: Path, save_dir: Path, *more: object) -> int:
    flags = ["--config", config, "--device", "cpu", "--save_dir", save_dir, *more]
    return train.main([str(flag) for flag in flags])


class Rounds:
    """Stands for a trainer whose rounds of four steps take these seconds."""

    def __init__(self, *seconds: float) -> None:
        self.seconds, self.taken = seconds, 0

    def timed_rounds(self, steps: int) -> Iterator[float]:
        assert steps == 4
        for seconds in self.seconds:
            self.taken += 1
            yield seconds


def plan_for(seconds: float, folder: Path = Path()) -> TrainingPlan:
    return TrainingPlan(100, 1, folder, train_seconds=seconds)


def test_the_median_of_the_rounds_after_the_first_counts() -> None:
    """Half a second a step; one round was disturbed, and the first set everything up."""
    assert measure_fit(Rounds(90, 2, 8, 2), plan_for(1000)) == Fit(2000, 0.5)


def test_a_slow_machine_is_tried_for_a_twentieth_of_the_time_at_most() -> None:
    trial = Rounds(8, 4, 4, 4, 4)
    assert measure_fit(trial, plan_for(100)) == Fit(100, 1.0)
    assert trial.taken == 3
    assert measure_fit(Rounds(8, 4), plan_for(0.5)) == Fit(1, 1.0)


def test_all_processes_take_the_steps_of_the_slowest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed, "gather", lambda seconds: [seconds, 2 * seconds])
    assert measure_fit(Rounds(8, 4, 4), plan_for(1000)) == Fit(500, 2.0)


def test_the_trial_changes_nothing(tiny_config: Path, tmp_path: Path) -> None:
    """Half of the recipe's 300 steps are its warm-up, and of any other number."""
    flags = ["--opts", "iters=300", WARM_UP.format(150)]
    timed, plain = tmp_path / "timed", tmp_path / "plain"
    assert run_train(tiny_config, timed, "--train_seconds", "1", *flags) == 0
    described = json.loads((timed / "run.json").read_text())
    iters = described["iters"]
    assert iters == max(1, int(1 / described["step_seconds"]))
    flags = ["--iters", iters, "--opts", WARM_UP.format(max(1, round(iters / 2)))]
    assert run_train(tiny_config, plain, *flags) == 0
    weights, expected = (read_weights(run / f"iter_{iters}") for run in (timed, plain))
    for name, value in expected.items():
        np.testing.assert_array_equal(weights[name], value, strict=True)
    assert (timed / "config.yml").read_text() == (plain / "config.yml").read_text()


def test_a_stopped_run_keeps_its_length(
    tiny_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    whole = [run, "--train_seconds", "1", "--keep_checkpoint_max", "0"]
    assert run_train(tiny_config, *whole) == 0
    *_, before, last = sorted(run.glob("iter_*"), key=lambda path: int(path.name[5:]))
    expected = read_weights(last)
    for path in last.iterdir():
        path.unlink()
    last.rmdir()
    assert run_train(tiny_config, *whole, "--resume_model", "auto") == 0
    assert f"Resumed from {before}" in capsys.readouterr().out
    for name, value in read_weights(last).items():
        np.testing.assert_array_equal(expected[name], value, strict=True)
    assert run_train(tiny_config, run, "--train_seconds", "2", "--resume_model", "auto") == 2
    assert "is trained for 1 seconds, not 2; go on with --train_sec" in capsys.readouterr().err


@pytest.mark.parametrize(
    "described",
    ["{}", "[]", '{"iters": 3, "train_seconds": null, "step_seconds": null}']
    + [
        json.dumps({"iters": 3, "train_seconds": 5, "step_seconds": 1} | wrong)
        for wrong in ({"iters": 0}, {"iters": "3"}, {"step_seconds": -1}, {"train_seconds": []})
    ],
)
def test_a_run_of_a_number_of_steps_is_not_resumed_for_a_time(
    tmp_path: Path, described: str
) -> None:
    (tmp_path / "run.json").write_text(described)
    with pytest.raises(UsageError, match="is not trained with --train_seconds; go on without it"):
        fit_of_run(tmp_path, plan_for(5))


def test_a_number_of_steps_and_a_time_contradict_each_other(
    tiny_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        run_train(tiny_config, tmp_path, "--iters", "5", "--train_seconds", "5")
    assert "--train_seconds: not allowed with argument --iters" in capsys.readouterr().err
