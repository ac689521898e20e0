"""mmcv's settings of a training, in epochs, as sections of a configuration, in steps."""

from __future__ import annotations

from typing import Any

import pytest

from panoptic_deeplab.config.schedule import build_lr_scheduler
from panoptic_deeplab.errors import UsageError
from panoptic_deeplab.learners.recipe import (
    Length,
    configured_schedule,
    optimizer_section,
    schedule_section,
)


def rates(section: dict[str, Any], steps: int) -> list[float]:
    """The learning rate of each step, for which the schedule is asked before it is moved on."""
    schedule, found = build_lr_scheduler(section, steps), []
    for _ in range(steps):
        found.append(round(schedule(), 6))
        schedule.step()
    return found


LINEAR = {"warmup": "linear", "warmup_iters": 2, "warmup_ratio": 0.5}
SCHEDULES = [
    ({"policy": "fixed"}, [1.0] * 6),
    ({"policy": "fixed", **LINEAR}, [0.5, 0.75, 1.0, 1.0, 1.0, 1.0]),
    ({"policy": "step", "step": [2]}, [1.0] * 4 + [0.1] * 2),
    ({"policy": "step", "step": 1, "gamma": 0.5}, [1.0, 1.0, 0.5, 0.5, 0.25, 0.25]),
    ({"policy": "step", "step": [2], **LINEAR}, [0.5, 0.75, 1.0, 1.0, 0.1, 0.1]),
    ({"policy": "step", "step": [1, 2], **LINEAR | {"warmup_iters": 4}},
     [0.5, 0.625, 0.75, 0.875, 1.0, 0.1]),
    ({"policy": "poly", "power": 1}, [1.0, 0.833333, 0.666667, 0.5, 0.333333, 0.166667]),
    ({"policy": "CosineAnnealing", "min_lr": 0.0},
     [1.0, 0.933013, 0.75, 0.5, 0.25, 0.066987]),
]  # fmt: skip


@pytest.mark.parametrize(("schedule", "expected"), SCHEDULES)
def test_three_epochs_of_two_steps(schedule: dict[str, Any], expected: list[float]) -> None:
    section = schedule_section(1.0, schedule, Length(3, 2))
    assert rates(section, 6) == expected


def test_a_configurations_own_schedule_is_stretched() -> None:
    written = {"type": "MultiStepDecay", "learning_rate": 1, "milestones": [50, 80], "gamma": 0.1}
    section = configured_schedule(written, 0.5, iters=100, steps=10)
    assert section == written | {"learning_rate": 0.5, "milestones": [5, 8]}
    assert written["milestones"] == [50, 80]


def test_momentum_is_of_sgd_alone_and_clipping_is_optional() -> None:
    assert optimizer_section("Adam", 0.9, 0.1, {}) == {"type": "Adam", "weight_decay": 0.1}
    clip = {"grad_clip": {"max_norm": 35, "norm_type": 2}}
    assert optimizer_section("SGD", 0.9, 0.1, clip) == {
        "type": "Momentum",
        "weight_decay": 0.1,
        "momentum": 0.9,
        "grad_clip_cfg": {"name": "ClipGradByGlobalNorm", "clip_norm": 35.0},
    }
    with pytest.raises(UsageError, match="norm_type 2"):
        optimizer_section("SGD", 0.9, 0.1, {"grad_clip": {"max_norm": 35, "norm_type": 1}})


def test_another_warmup_is_refused() -> None:
    with pytest.raises(UsageError, match="warmup of lr_schedule: expected linear, got 'exp'"):
        schedule_section(1.0, {"policy": "fixed", "warmup": "exp"}, Length(1, 1))


@pytest.mark.parametrize("step", [0, -1, [1, 0], "12", [1.5], None])
def test_steps_are_epochs_above_0(step: Any) -> None:
    with pytest.raises(UsageError, match="step of lr_schedule: expected epochs above 0, got"):
        schedule_section(1.0, {"policy": "step", "step": step}, Length(3, 2))
