"""Training for a given time: the schedule, resuming, and what a run says of its training."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from comparing import training
from comparing.training import Recipe, schedule_overrides, train_for, training_cost

from panoptic_deeplab.config import Config


def metrics(costs: dict[int, float]) -> str:
    rows = ({"kind": "train", "iter": step, "batch_cost": cost} for step, cost in costs.items())
    return "".join(f"{json.dumps(row)}\n" for row in rows)


def test_time_and_images_of_a_training_are_read_from_its_run(tmp_path: Path) -> None:
    """10 steps of 2 s, 10 of 1 s, 10 of 0.5 s."""
    (tmp_path / "metrics.jsonl").write_text(metrics({10: 2.0, 20: 1.0, 30: 0.5}))
    (tmp_path / "iter_30").mkdir()
    assert training_cost(tmp_path / "iter_30") == training.Training(35.0, 30, None, None)
    (tmp_path / "run.json").write_text('{"processes": 2, "effective_batch_size": 4}')
    assert training_cost(tmp_path / "iter_30") == training.Training(35.0, 30, 120, 2)
    weights = tmp_path / "iter_20" / "model.pdparams"
    assert training_cost(weights) == training.Training(30.0, 20, 80, 2)
    assert training_cost(tmp_path) is None


def test_the_schedule_keeps_its_shape(tiny_config: Path) -> None:
    """A quarter of the steps, twice the samples of the recipe."""
    opts = [
        "lr_scheduler={type: MultiStepDecay, learning_rate: 0.1, milestones: [800, 1200]}",
        "lr_scheduler.warmup_iters=100",
        "iters=1600",
        "recipe_batch_size=2",
    ]
    recipe = Recipe(Config(tiny_config, opts), opts, "cpu", processes=2)
    assert schedule_overrides(recipe, 400) == [
        "lr_scheduler.warmup_iters=25",
        "lr_scheduler.milestones=[200, 300]",
        "lr_scheduler.learning_rate=0.2",
    ]


class Trainings:
    """Stands for `train.py`: a step takes half a second."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.fails = False

    def __call__(self, *command: object) -> None:
        words = list(map(str, command))
        self.calls.append(words)
        folder = Path(words[words.index("--save_dir") + 1])
        iters = int(words[words.index("--iters") + 1])
        folder.mkdir(parents=True, exist_ok=True)
        costs = dict.fromkeys(range(8, iters + 1, 8), 0.5)
        (folder / "metrics.jsonl").write_text(metrics(costs))
        if self.fails and "--resume_model" in words:
            raise KeyboardInterrupt
        (folder / f"iter_{iters}").mkdir(exist_ok=True)


def test_an_interrupted_training_goes_on_as_it_was_planned(
    tiny_config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = Trainings()
    monkeypatch.setattr(training, "call", calls)
    recipe = Recipe(Config(tiny_config), [], "cpu", processes=1)
    folder = tmp_path / "run"
    calls.fails = True
    with pytest.raises(KeyboardInterrupt):
        train_for(30, recipe, folder)
    calls.fails = False
    assert train_for(30, recipe, folder) == folder / "iter_60"  # 30 s of half a second each
    trial, first, second = calls.calls
    assert "auto" not in trial
    assert first == second
    assert second[second.index("--resume_model") + 1] == "auto"
    train_for(30, recipe, folder)
    assert len(calls.calls) == 3, "what is done is not done again"
    assert train_for(10, recipe, folder) == folder / "iter_20"
    assert not (folder / "iter_60").exists(), "another plan starts anew"
