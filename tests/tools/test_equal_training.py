"""Training for a given time: the schedule, resuming, and what a run says of its training."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from comparing import training
from comparing.training import Recipe, train_for, training_cost

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


class Trainings:
    """Stands for `train.py`: a step takes half a second."""

    def __init__(self, config: Config) -> None:
        self.config, self.fails = config, False
        self.calls: list[list[str]] = []

    def __call__(self, *command: object) -> None:
        words = list(map(str, command))
        self.calls.append(words)
        folder, seconds = (words[words.index(w) + 1] for w in ("--save_dir", "--train_seconds"))
        iters, run = 2 * int(seconds), Path(folder)
        run.mkdir(parents=True, exist_ok=True)
        described = {"processes": 1, "train_seconds": int(seconds), "iters": iters}
        (run / "run.json").write_text(json.dumps(described))
        (run / "config.yml").write_text(self.config.for_iters(iters).to_yaml())
        if self.fails:
            raise KeyboardInterrupt
        (run / f"iter_{iters}").mkdir()


def test_an_interrupted_training_goes_on_as_it_was_planned(
    tiny_config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = Config(tiny_config)
    calls = Trainings(config)
    monkeypatch.setattr(training, "call", calls)
    recipe = Recipe(config, [], "cpu", processes=1)
    folder = tmp_path / "run"
    calls.fails = True
    with pytest.raises(KeyboardInterrupt):
        train_for(30, recipe, folder)
    (folder / "iter_10").mkdir()
    calls.fails = False
    assert train_for(30, recipe, folder) == folder / "iter_60"  # 30 s of half a second each
    assert (folder / "iter_10").exists(), "nothing is removed"
    first, second = calls.calls
    assert first == second
    assert second[second.index("--resume_model") + 1] == "auto"
    train_for(30, recipe, folder)
    assert len(calls.calls) == 2, "what is done is not done again"
    assert train_for(10, recipe, folder) == folder / "iter_20"
    assert not (folder / "iter_60").exists(), "another time starts anew"
    other = Recipe(Config(tiny_config, ["batch_size=1"]), [], "cpu", processes=1)
    calls.config = other.config
    (folder / "iter_10").mkdir()
    assert train_for(10, other, folder) == folder / "iter_20"
    assert not (folder / "iter_10").exists(), "so does another recipe"
