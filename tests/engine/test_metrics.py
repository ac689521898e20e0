"""metrics.jsonl: what is written is read back, whatever stopped the run that wrote it."""

from __future__ import annotations

from pathlib import Path

import pytest

from panoptic_deeplab.cli import train
from panoptic_deeplab.engine.metrics import METRICS, Done, MetricsFile, read_metrics
from panoptic_deeplab.errors import DataError


def write(folder: Path, done: int, *iterations: int) -> None:
    file = MetricsFile(folder, Done(done))
    for iteration in iterations:
        file.write("train", iteration, loss=float("nan"))
    file.close()


def test_a_resumed_run_replaces_what_came_after_its_checkpoint(tmp_path: Path) -> None:
    write(tmp_path, 0, 10, 20, 30)
    write(tmp_path, 20, 30, 40)
    rows = list(read_metrics(tmp_path))
    assert [row["iter"] for row in rows] == [10, 20, 30, 40]
    assert rows[0]["loss"] is None


def test_an_evaluation_that_is_repeated_has_one_row(tmp_path: Path) -> None:
    rows = [("train", 10), ("eval", 10), ("train", 20), ("eval", 20)]
    for evaluated, kept in ((False, rows[:3]), (True, rows)):
        file = MetricsFile(tmp_path, Done())
        for kind, iteration in rows:
            file.write(kind, iteration)
        file.close()
        MetricsFile(tmp_path, Done(20, evaluated)).close()
        assert [(row["kind"], row["iter"]) for row in read_metrics(tmp_path)] == kept


def test_a_line_torn_by_a_kill_is_ignored_and_the_run_resumes(tmp_path: Path) -> None:
    write(tmp_path, 0, 10, 20)
    with (tmp_path / METRICS).open("a") as file:
        file.write('{"kind": "train", "iter": 3')
    assert [row["iter"] for row in read_metrics(tmp_path)] == [10, 20]
    write(tmp_path, 20, 30)
    assert [row["iter"] for row in read_metrics(tmp_path)] == [10, 20, 30]


@pytest.mark.parametrize("line", ["no JSON", "[]", '{"kind": "train"}', '{"kind": 1, "iter": "x"}'])
def test_a_line_that_is_no_row_is_refused_with_its_number(tmp_path: Path, line: str) -> None:
    write(tmp_path, 0, 10)
    with (tmp_path / METRICS).open("a") as file:
        file.write(f"{line}\n")
    with pytest.raises(
        DataError, match=r"metrics\.jsonl: line 2: expected a JSON object with kind"
    ):
        list(read_metrics(tmp_path))


def test_a_training_writes_losses_and_scores(tiny_config: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    flags = ["--iters", "2", "--log_iters", "1", "--save_interval", "2", "--do_eval"]
    assert train.main(["--config", str(tiny_config), "--save_dir", str(run), *flags]) == 0
    first, second = read_metrics(run, "train")
    assert (first["iter"], second["iter"]) == (1, 2)
    assert first["loss"] == pytest.approx(sum(first["losses"].values()))
    (scores,) = read_metrics(run, "eval")
    assert {"pq", "sq", "rq"} <= set(scores["results"]["All"])


def test_the_learning_rate_of_each_step_is_written(tiny_config: Path, tmp_path: Path) -> None:
    """Half a cosine over four steps, which Paddle computes from the rate of the step before."""
    run = tmp_path / "run"
    cosine = "lr_scheduler={type: CosineAnnealingDecay, learning_rate: 0.001}"
    flags = ["--save_dir", str(run), "--iters", "4", "--log_iters", "1", "--num_workers", "0"]
    assert train.main(["--config", str(tiny_config), *flags, "--opts", cosine]) == 0
    rates = [row["lr"] for row in read_metrics(run, "train")]
    assert rates == pytest.approx([0.001, 0.00085355, 0.0005, 0.00014645], abs=1e-7)
