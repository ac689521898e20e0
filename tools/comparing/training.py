"""Training each method for the same time, and reading the cost of a finished training."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from panoptic_deeplab.engine.checkpoint import RUN_FILE
from panoptic_deeplab.engine.metrics import read_metrics
from panoptic_deeplab.errors import DataError
from panoptic_deeplab.files import read_json

if TYPE_CHECKING:
    from panoptic_deeplab.config import Config

ROOT = Path(__file__).resolve().parents[2]


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


def train_for(seconds: int, recipe: Recipe, folder: Path) -> Path:
    """Train for about `seconds` of steps; resume or reuse what an earlier call left.

    Args:
        seconds: wall time of the steps.
        recipe: what to train.
        folder: of the run. What another recipe, or another time, left there is removed.

    Returns:
        The checkpoint's folder.

    Raises:
        DataError: the training ended with an error.
    """
    if not _is_run_of(folder, seconds, recipe):
        shutil.rmtree(folder, ignore_errors=True)
    if not _last_checkpoint(folder).is_dir():
        _train(seconds, recipe, folder)
    return _last_checkpoint(folder)


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
    run = _described(folder.parent)
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


def _described(folder: Path) -> dict[str, Any]:
    """Return what a run says of itself; nothing where there is none."""
    path = folder / RUN_FILE
    described = read_json(path) if path.exists() else None
    return described if isinstance(described, dict) else {}


def _is_run_of(folder: Path, seconds: int, recipe: Recipe) -> bool:
    """Return whether a folder holds a run, ended or not, of this recipe and time."""
    run, text = _described(folder), folder / "config.yml"
    if (run.get("train_seconds"), run.get("processes")) != (seconds, recipe.processes):
        return False
    factor = recipe.config.recipe_factor(recipe.config.batch_size * recipe.processes)
    fitted = recipe.config.for_iters(run["iters"], factor)
    return text.exists() and text.read_text("utf-8") == fitted.to_yaml()


def _last_checkpoint(folder: Path) -> Path:
    return folder / f"iter_{_described(folder).get('iters')}"


def _train(seconds: int, recipe: Recipe, folder: Path) -> None:
    launcher: list[object] = []
    if recipe.processes > 1:
        launcher = ["-m", "paddle.distributed.launch", "--log_level", "WARNING"]
        launcher += ["--nproc_per_node", recipe.processes, "--log_dir", folder / "logs"]
    command = [*launcher, ROOT / "train.py", "--config", recipe.config.path]
    command += ["--device", recipe.device, "--num_workers", recipe.num_workers]
    command += ["--train_seconds", seconds, "--scale_lr", "--resume_model", "auto"]
    command += ["--keep_checkpoint_max", 1, "--log_iters", 10, "--save_dir", folder]
    call(*command, *(["--opts", *recipe.opts] if recipe.opts else []))


def _costs(folder: Path, last: int | None = None) -> dict[int, float]:
    """Return step -> seconds per step since the previous row, in order, up to `last`."""
    rows = read_metrics(folder, "train")
    return {row["iter"]: row["batch_cost"] for row in rows if last is None or row["iter"] <= last}
