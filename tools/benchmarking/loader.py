"""How long a training from disk waits for its samples, read from its metrics."""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from benchmarking.comparison import Result, spread
from benchmarking.processes import Runner
from benchmarking.targets import make_training_scenes
from panoptic_deeplab.engine.metrics import read_metrics
from panoptic_deeplab.errors import UserError

ROOT = Path(__file__).parents[2]
CONFIG = "configs/demo/panoptic_deeplab_lite_scenes.yml"
SIZE, WORKERS, GOAL = (256, 512), 2, 0.95


def comparisons(folder: Path, quick: bool) -> Iterable[WaitingForSamples]:
    """The demo's training with two workers."""
    scenes = make_training_scenes(folder / "scenes", SIZE, 4 if quick else 16, 1 if quick else 2)
    yield WaitingForSamples(
        f"demo's step, {WORKERS} workers", scenes, folder / "run", 4 if quick else 20
    )


@dataclass(frozen=True)
class WaitingForSamples:
    """A training whose metrics hold the time of a step and how much of it is waiting.

    Attributes:
        name: of what is done.
        scenes: the data set.
        save_dir: where the training writes its metrics.
        steps: between two rows of the metrics.
    """

    name: str
    scenes: Path
    save_dir: Path
    steps: int

    def run(self, repeats: int, runner: type[Runner]) -> Result:
        """Train for `repeats` rows of the metrics, after a first one that does not count."""
        train(self.scenes, self.save_dir, self.steps, (repeats + 1) * self.steps)
        rows = list(read_metrics(self.save_dir, "train"))[1:]
        whole = [row["batch_cost"] for row in rows]
        computing = [row["batch_cost"] - row["reader_cost"] for row in rows]
        return Result(
            name=self.name,
            seconds=statistics.median(whole),
            baseline_seconds=statistics.median(computing),
            baseline_name="the step less waiting",
            spread=spread(whole),
            baseline_spread=spread(computing),
            repeats=len(rows),
            goal=GOAL,
            note="the goal is to wait for less than 5 % of the time",
        )


def train(scenes: Path, save_dir: Path, log_iters: int, iters: int) -> None:
    """Train with the demo's configuration.

    Raises:
        UserError: the training failed.
    """
    words = [sys.executable, "train.py", "--config", CONFIG, "--device", "cpu"]
    words += ["--save_dir", save_dir, "--iters", iters, "--log_iters", log_iters]
    words += ["--save_interval", iters, "--num_workers", WORKERS]
    words += ["--opts", *(f"{part}_dataset.dataset_root={scenes}" for part in ("train", "val"))]
    done = subprocess.run(list(map(str, words)), cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise UserError(f"the training to be measured failed: {done.stderr[-500:]}")
