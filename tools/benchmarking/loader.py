"""How long the network waits for its samples: a training from disk, as `train.py` logs it."""

from __future__ import annotations

import re
import statistics
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from benchmarking.contest import Result, spread
from benchmarking.processes import Runner
from benchmarking.targets import make_training_scenes
from panoptic_deeplab.errors import UserError

ROOT = Path(__file__).parents[2]
CONFIG = "configs/demo/panoptic_deeplab_lite_scenes.yml"
SIZE, WORKERS, GOAL = (256, 512), 2, 0.95
LINE = re.compile(r"batch_cost=([\d.]+), reader_cost=([\d.]+)")


def contests(folder: Path, quick: bool) -> Iterable[WaitingForSamples]:
    """The demo's training with two workers."""
    scenes = make_training_scenes(folder / "scenes", SIZE, 4 if quick else 16, 1 if quick else 2)
    yield WaitingForSamples(
        f"demo's step, {WORKERS} workers", scenes, folder / "run", 4 if quick else 20
    )


@dataclass(frozen=True)
class WaitingForSamples:
    """A training whose log tells how long a step takes and how much of that is waiting.

    Attributes:
        name: of what is done.
        scenes: the data set.
        save_dir: where the training leaves its log.
        steps: between two lines of the log.
    """

    name: str
    scenes: Path
    save_dir: Path
    steps: int

    def run(self, repeats: int, runner: type[Runner]) -> Result:
        """Trains for `repeats` lines of the log, after a first one that does not count."""
        log = train(self.scenes, self.save_dir, self.steps, (repeats + 1) * self.steps)
        pairs = [(float(step), float(wait)) for step, wait in LINE.findall(log)][1:]
        whole = [step for step, _ in pairs]
        computing = [step - wait for step, wait in pairs]
        return Result(
            name=self.name,
            seconds=statistics.median(whole),
            baseline_seconds=statistics.median(computing),
            baseline_name="the step less waiting",
            spread=spread(whole),
            baseline_spread=spread(computing),
            repeats=len(pairs),
            goal=GOAL,
            note="the goal is to wait for less than 5 % of the time",
        )


def train(scenes: Path, save_dir: Path, log_iters: int, iters: int) -> str:
    """Trains with the demo's configuration and returns what the log says.

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
    return (save_dir / "train.log").read_text("utf-8")
