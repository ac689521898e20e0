"""How many steps fit into a time: measured by a trial, kept by the run that was trained so.

Only steps count, waiting for samples included; starting, checkpoints and evaluations do not.
"""

from __future__ import annotations

import math
import statistics
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from panoptic_deeplab.engine import distributed
from panoptic_deeplab.engine.checkpoint import RUN_FILE
from panoptic_deeplab.engine.plan import TrainingPlan
from panoptic_deeplab.engine.trainer import Trainer
from panoptic_deeplab.errors import UsageError
from panoptic_deeplab.files import read_json

_ROUND = 4
TRIAL_STEPS = 10 * _ROUND
"""At most. They are timed in rounds, the first of which, in which everything is set up, does not
count."""

_TRIAL_FRACTION = 0.05
"""Of the time that the trial may take beyond its first two rounds."""


@dataclass(frozen=True)
class Fit:
    """The steps that fit into a time.

    Attributes:
        iters: their number.
        step_seconds: of one, as the trial measured.
    """

    iters: int
    step_seconds: float


def measure_fit(trial: Trainer, plan: TrainingPlan) -> Fit:
    """Train a trial and return the steps that fit into the plan's time; the slowest process counts.

    Args:
        trial: of at least two rounds; trained on and of no more use.
        plan: with `train_seconds`.
    """
    measured: list[float] = []
    with closing(trial.timed_rounds(_ROUND)) as rounds:
        next(rounds)
        for seconds in rounds:
            measured.append(max(distributed.gather(seconds)))  # so that all choose the same
            if sum(measured) > _TRIAL_FRACTION * plan.train_seconds:
                break
    step_seconds = statistics.median(measured) / _ROUND
    return Fit(max(1, int(plan.train_seconds / step_seconds)), step_seconds)


def fit_of_run(run: Path, plan: TrainingPlan) -> Fit:
    """Return the steps that an earlier trial chose for the run that is resumed.

    Raises:
        UsageError: it is trained for another time, or for a number of steps.
        DataError: its description cannot be read.
    """
    path = run / RUN_FILE
    described = read_json(path) if path.exists() else None
    found = described if isinstance(described, dict) else {}
    seconds, step_seconds, iters = map(found.get, ("train_seconds", "step_seconds", "iters"))
    if type(iters) is not int or not all(map(_is_positive, (seconds, step_seconds, iters))):
        raise UsageError(
            f"{run}: is not trained with --train_seconds; go on without it, or choose another "
            "--save_dir"
        )
    if seconds != plan.train_seconds:
        raise UsageError(
            f"{run}: is trained for {seconds:g} seconds, not {plan.train_seconds:g}; go on with "
            f"--train_seconds {seconds:g}, or choose another --save_dir"
        )
    return Fit(iters, step_seconds)


def _is_positive(value: Any) -> bool:
    return type(value) in (int, float) and 0 < value < math.inf
