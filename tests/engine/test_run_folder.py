"""What a training writes into its folder, and what it leaves alone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from panoptic_deeplab.cli import train
from panoptic_deeplab.engine import checkpoint, trainer
from panoptic_deeplab.engine.metrics import read_metrics

AUTO = ["--resume_model", "auto"]


def run_train(config: Path, save_dir: Path, *more: object) -> int:
    flags = ["--config", config, "--device", "cpu", "--save_dir", save_dir, *more]
    return train.main([str(flag) for flag in flags])


# --- the evaluation belongs to the saved position ---


@pytest.mark.parametrize("killed_in", ["evaluate", "save_best", "write_score"])
@pytest.mark.parametrize("killed_at", [1, 2])
def test_an_evaluation_cut_short_by_a_kill_is_made_up_for(
    tiny_config: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    killed_in: str,
    killed_at: int,
) -> None:
    class Killed(BaseException):
        """As a kill: nobody catches it."""

    times = iter(range(1, 9))
    owner = trainer if killed_in == "evaluate" else checkpoint
    original = getattr(owner, killed_in)

    def killing(*arguments: object) -> object:
        if next(times) == killed_at:
            raise Killed
        return original(*arguments)

    run, flags = tmp_path / "run", ["--iters", "2", "--save_interval", "1", "--do_eval"]
    with monkeypatch.context() as patch:
        patch.setattr(owner, killed_in, killing)
        if killed_in == "save_best":  # each evaluation is better than the one before
            patch.setattr(trainer.RunLog, "evaluation", lambda _, iteration, *__: iteration / 10)
        with pytest.raises(Killed):
            run_train(tiny_config, run, *flags)
    assert run_train(tiny_config, run, *flags, *AUTO) == 0
    assert json.loads((run / "iter_2" / "score.json").read_text())["pq"] is not None
    assert (run / "best_model" / "score.json").exists()
    assert len([row["iter"] for row in read_metrics(run, "eval")]) in (1, 2)
    assert [row["iter"] for row in read_metrics(run, "eval")][-1] == 2


def test_an_ended_run_that_was_evaluated_has_nothing_to_do(
    tiny_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    assert run_train(tiny_config, run, "--iters", "1") == 0
    assert run_train(tiny_config, run, "--iters", "1", "--do_eval", *AUTO) == 0
    assert (run / "best_model" / "model.pdparams").exists()
    capsys.readouterr()
    assert run_train(tiny_config, run, "--iters", "1", "--do_eval", *AUTO) == 0
    assert "Nothing to do: 1 of 1 iterations are done" in capsys.readouterr().out


# --- other people's files, links, other runs ---


def test_what_else_lies_in_its_folders_stays(tiny_config: Path, tmp_path: Path) -> None:
    run, flags = tmp_path / "run", ["--save_interval", "1", "--keep_checkpoint_max", "1"]
    assert run_train(tiny_config, run, "--iters", "2", *flags, "--do_eval") == 0
    (run / ".best_model.backup").mkdir()
    for folder in ("best_model", "iter_2"):
        (run / folder / "notes.txt").write_text(folder)
    (run / "best_model" / "score.json").write_text('{"pq": null}')  # the next one is better
    (run / "iter_0").touch()
    assert run_train(tiny_config, run, "--iters", "4", *flags, "--do_eval", *AUTO) == 0
    assert (run / "best_model" / "notes.txt").read_text() == "best_model"
    assert (run / "iter_2" / "notes.txt").read_text() == "iter_2"
    held = {path.name for path in run.iterdir() if path.name.startswith(("iter_", "."))}
    assert held == {".best_model.backup", "iter_0", "iter_2", "iter_4"}


def test_no_link_is_replaced_or_removed(tiny_config: Path, tmp_path: Path) -> None:
    run, store = tmp_path / "run", tmp_path / "store"
    flags = ["--save_interval", "1", "--keep_checkpoint_max", "1"]
    assert run_train(tiny_config, run, "--iters", "1", *flags) == 0
    store.mkdir()
    shutil.move(run / "iter_1", store / "first")
    (store / "second").mkdir()
    (run / "iter_1").symlink_to(store / "first")
    (run / "iter_2").symlink_to(store / "second")
    assert (
        run_train(tiny_config, run, "--iters", "3", *flags, "--resume_model", run / "iter_1") == 0
    )
    assert sorted(path.name for path in run.glob("iter_*") if path.is_symlink()) == [
        "iter_1",
        "iter_2",
    ]
    assert (store / "second" / "model.pdopt").exists()
    assert (run / "iter_3" / "model.pdopt").exists()


def test_a_checkpoint_that_cannot_be_removed_ends_no_run(
    tiny_config: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def refuse(folder: Path) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(checkpoint, "remove_folder", refuse)
    flags = ["--save_interval", "1", "--keep_checkpoint_max", "1"]
    assert run_train(tiny_config, tmp_path / "run", "--iters", "2", *flags) == 0
    assert "iter_1 stays, as it cannot be removed" in capsys.readouterr().out


def test_a_folder_that_is_not_this_runs_is_refused(
    tiny_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine, others = tmp_path / "mine", tmp_path / "others"
    for run in (mine, others):
        assert run_train(tiny_config, run, "--iters", "1") == 0
    elsewhere = ["--iters", "2", "--resume_model", mine / "iter_1"]
    assert run_train(tiny_config, others, *elsewhere) == 2
    assert "others: holds checkpoints of another run" in capsys.readouterr().err
    assert run_train(tiny_config, tmp_path / "new", *elsewhere) == 0

    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "config.yml").write_text("mine")
    assert run_train(tiny_config, foreign, "--iters", "1") == 2
    assert "holds config.yml, which a training would replace" in capsys.readouterr().err
    assert (foreign / "config.yml").read_text() == "mine"

    (others / "iter_2").touch()
    assert run_train(tiny_config, others, "--iters", "2", *AUTO) == 2
    assert "iter_2: a checkpoint is to be written here; move" in capsys.readouterr().err


def test_two_trainings_into_one_folder_are_told(
    tiny_config: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The lock itself has its own tests; here it is refused as by another process."""
    run = tmp_path / "run"
    monkeypatch.setattr("fcntl.lockf", _refuse)
    assert run_train(tiny_config, run, "--iters", "1") == 2
    assert "run: another training writes here" in capsys.readouterr().err


def _refuse(*_: object) -> None:
    raise BlockingIOError
