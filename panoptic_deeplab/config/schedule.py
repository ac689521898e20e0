"""Learning rate schedules, as PaddleSeg's configurations describe them."""

from __future__ import annotations

import inspect
from typing import Any

from paddle.optimizer import lr

SCHEDULES = {
    name: item
    for name, item in vars(lr).items()
    if inspect.isclass(item) and issubclass(item, lr.LRScheduler) and item is not lr.LRScheduler
}

_WARMUP = ("warmup_iters", "warmup_start_lr")
"""Keys that any schedule may have besides its own."""

LENGTHS = {"PolynomialDecay": "decay_steps", "CosineAnnealingDecay": "T_max"}
"""Arguments that default to the iterations after the warm-up."""

_STEPS = {
    *("warmup_iters", "milestones", "boundaries", "step_size", "step_size_up", "step_size_down"),
    *("total_steps", "warmup_steps", "T_0", *LENGTHS.values()),
}
"""Keys that are numbers of steps, or lists of them."""


def build_lr_scheduler(node: dict[str, Any], iters: int) -> lr.LRScheduler:
    """Build the schedule of a configuration's `lr_scheduler` section.

    Args:
        node: `type`, its arguments, and optionally `warmup_iters` with `warmup_start_lr`.
        iters: steps of the whole training.
    """
    arguments = without_warmup(node)
    kind, warmup = arguments.pop("type"), node.get("warmup_iters", 0)
    if kind in LENGTHS:
        arguments.setdefault(LENGTHS[kind], max(iters - warmup, 1))
    schedule = SCHEDULES[kind](**arguments)
    if not warmup:
        return schedule
    start, end = node.get("warmup_start_lr", 0.0), arguments["learning_rate"]
    return lr.LinearWarmup(schedule, warmup, start, end)


def without_warmup(node: dict[str, Any]) -> dict[str, Any]:
    """Return the section with the schedule's own keys only."""
    return {key: value for key, value in node.items() if key not in _WARMUP}


def scaled(node: dict[str, Any], factor: float) -> dict[str, Any]:
    """Return the section for `factor` times the effective batch size.

    The learning rate is multiplied and the milestones are divided by it.
    Milestones count from the end of the warm-up, which keeps its length.
    """
    changed = {"learning_rate": node["learning_rate"] * factor}
    if "milestones" in node:
        warmup = node.get("warmup_iters", 0)
        changed["milestones"] = [
            max(round((milestone + warmup) / factor) - warmup, 1)
            for milestone in node["milestones"]
        ]
    return node | changed


def stretched(node: dict[str, Any], fraction: float) -> dict[str, Any]:
    """Return the section for a training of `fraction` times the steps.

    Warm-up, milestones and decay keep their fraction of the training.
    """
    return node | {key: _multiplied(node[key], fraction) for key in _STEPS & {*node} if node[key]}


def _multiplied(steps: int | list[int], fraction: float) -> int | list[int]:
    """Multiply a number of steps, or each of an increasing list, which stays one."""
    if not isinstance(steps, list):
        return max(1, round(steps * fraction))
    increasing = [0]
    for step in steps:
        increasing.append(max(round(step * fraction), increasing[-1] + 1))
    return increasing[1:]
