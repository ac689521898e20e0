"""Training each method for the same time, and reading the cost of a finished training."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from panoptic_deeplab.engine.metrics import read_metrics
from panoptic_deeplab.errors import DataError
from panoptic_deeplab.files import read_json, write_json

if TYPE_CHECKING:
    from panoptic_deeplab.config import Config

ROOT = Path(__file__).resolve().parents[2]

RATE_STEPS, RATE_LINE = 40, 8
"""Steps of the trial that tells how long one takes, and how many make a line of its log. The first
line, in which everything is set up, does not count."""

CHECKPOINTS = 10
"""Written in the course of a training, so that little is lost when it is interrupted."""

_LENGTHS = ("warmup_iters", "decay_steps", "T_max", "step_size")
"""Arguments of schedules that are numbers of steps."""


@dataclass(frozen=True)
class Training:
    """Cost of a training.

    Attributes:
        seconds: of its steps, waiting for samples included; starting, checkpoints and evaluations
            left out.
        steps: done.
        images: seen, None where the run does not record its batch size.
        processes: their number.
    """

    seconds: float
    steps: int
    images: int | None
    processes: int | None


@dataclass(frozen=True)
class Schedule:
    """The training that fits a time, saved so that an interrupted training resumes unchanged.

    Attributes:
        config: the configuration as text.
        wanted_seconds: the time.
        processes: to train on.
        step_seconds: as the trial measured.
        iters: that fit.
    """

    config: str
    wanted_seconds: float
    processes: int
    step_seconds: float
    iters: int


@dataclass(frozen=True)
class Recipe:
    """What to train, and how.

    Attributes:
        config: the configuration with all changes.
        opts: these changes.
        device: cpu or gpu.
        processes: to train on.
        num_workers: processes that read ahead, for each of them.
    """

    config: Config
    opts: Sequence[str]
    device: str
    processes: int
    num_workers: int = 0


def train_for(seconds: float, recipe: Recipe, folder: Path) -> Path:
    """Train for about `seconds` of steps; resume or reuse what an earlier call left.

    Args:
        seconds: wall time of the steps.
        recipe: what to train.
        folder: for checkpoints, metrics and `schedule.json`. What another schedule left is removed.

    Returns:
        The checkpoint's folder.

    Raises:
        DataError: a training ended with an error.
    """
    schedule = _schedule_of(folder, seconds, recipe)
    if schedule is None:
        shutil.rmtree(folder, ignore_errors=True)
        step_seconds = _measure_step(recipe, folder / "trial")
        iters = max(1, int(seconds / step_seconds))
        text = recipe.config.to_yaml()
        schedule = Schedule(text, seconds, recipe.processes, step_seconds, iters)
        write_json(folder / "schedule.json", asdict(schedule), indent=2)
    checkpoint = folder / f"iter_{schedule.iters}"
    if not checkpoint.is_dir():
        _train(
            recipe,
            folder,
            *("--iters", schedule.iters, "--resume_model", "auto", "--keep_checkpoint_max", 1),
            *("--save_interval", -(-schedule.iters // CHECKPOINTS), "--log_iters", 10),
            opts=schedule_overrides(recipe, schedule.iters),
        )
    return checkpoint


def schedule_overrides(recipe: Recipe, iters: int) -> list[str]:
    """Return overrides that fit the configuration's schedule to `iters` steps and this batch size.

    Every length keeps its fraction of the training; the rate goes with the effective batch size.
    """
    config = recipe.config
    node, fraction = config.tree["lr_scheduler"], iters / config.iters
    changed: dict[str, Any] = {
        key: max(1, round(node[key] * fraction)) for key in _LENGTHS if node.get(key)
    }
    if "milestones" in node:
        changed["milestones"] = sorted({max(1, round(m * fraction)) for m in node["milestones"]})
    factor = config.recipe_factor(config.batch_size * recipe.processes)
    if factor != 1:
        changed["learning_rate"] = node["learning_rate"] * factor
    return [f"lr_scheduler.{key}={json.dumps(value)}" for key, value in changed.items()]


def training_cost(checkpoint: Path) -> Training | None:
    """Read the cost of a training up to a checkpoint from the run's metrics and description.

    Args:
        checkpoint: `iter_N` or another folder of a run, or a file of weights in one.
    """
    folder = checkpoint if checkpoint.is_dir() else checkpoint.parent
    number = re.fullmatch(r"iter_(\d+)", folder.name)
    costs = _costs(folder.parent, int(number[1]) if number else None)
    if not costs:
        return None
    run = read_json(folder.parent / "run.json") if (folder.parent / "run.json").exists() else {}
    values = (run.get(key) for key in ("effective_batch_size", "processes"))
    samples, processes = (value if isinstance(value, int) else None for value in values)
    steps = [0, *costs]
    seconds = sum((step - before) * costs[step] for before, step in zip(steps, costs, strict=False))
    images = None if samples is None else samples * steps[-1]
    return Training(seconds, steps[-1], images, processes)


def call(*command: object) -> None:
    """Run a Python command with one thread for each of its processes.

    Raises:
        DataError: it ended with an error.
    """
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tools"), os.environ.get("PYTHONPATH", "")])
    environment = {"OMP_NUM_THREADS": "1"} | os.environ | {"PYTHONPATH": paths.rstrip(os.pathsep)}
    words = [sys.executable, *map(str, command)]
    with subprocess.Popen(words, env=environment) as process:
        try:
            code = process.wait()
        except BaseException:
            process.terminate()  # a training saves where it stands
            raise
    if code:
        raise DataError(f"exit code {code} of: {shlex.join(['python', *words[1:]])}")


def _schedule_of(folder: Path, seconds: float, recipe: Recipe) -> Schedule | None:
    """Return the schedule that an earlier call left, if it is of the same training."""
    path = folder / "schedule.json"
    if not path.exists():
        return None
    try:
        schedule = Schedule(**read_json(path))
    except (DataError, TypeError):
        return None
    wanted = (recipe.config.to_yaml(), seconds, recipe.processes)
    same = (schedule.config, schedule.wanted_seconds, schedule.processes) == wanted
    return schedule if same else None


def _measure_step(recipe: Recipe, folder: Path) -> float:
    """Measure the seconds of a step by a short training, which is then deleted."""
    _train(recipe, folder, "--iters", RATE_STEPS, "--log_iters", RATE_LINE, opts=[])
    costs = list(_costs(folder).values())[1:]
    shutil.rmtree(folder)
    return statistics.median(costs)


def _train(recipe: Recipe, folder: Path, *options: object, opts: Sequence[str]) -> None:
    launcher: list[object] = []
    if recipe.processes > 1:
        launcher = ["-m", "paddle.distributed.launch", "--log_level", "WARNING"]
        launcher += ["--nproc_per_node", recipe.processes, "--log_dir", folder / "logs"]
    command = [*launcher, ROOT / "train.py", "--config", recipe.config.path]
    command += ["--device", recipe.device, "--num_workers", recipe.num_workers]
    changes = [*recipe.opts, *opts]
    opts_flag = ["--opts", *changes] if changes else []
    call(*command, "--save_dir", folder, *options, *opts_flag)


def _costs(folder: Path, last: int | None = None) -> dict[int, float]:
    """Return step -> seconds per step since the previous row, in order, up to `last`."""
    rows = read_metrics(folder, "train")
    return {row["iter"]: row["batch_cost"] for row in rows if last is None or row["iter"] <= last}
