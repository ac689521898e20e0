"""Schedules by hand: their length, their warm-up, and what another batch size makes of them."""

from __future__ import annotations

import pytest

from panoptic_deeplab.config.schedule import build_lr_scheduler, scaled, stretched


def rates(node: dict, iters: int) -> list[float]:
    """The learning rate of each step, and the one after the last."""
    schedule, values = build_lr_scheduler(node, iters), []
    for _ in range(iters + 1):
        values.append(schedule())
        schedule.step()
    return values


def test_the_decay_takes_the_iterations_after_the_warm_up() -> None:
    """Linear from 0 to 1 in two steps, then linear from 1 to 0 in the remaining four."""
    node = {"type": "PolynomialDecay", "learning_rate": 1.0, "power": 1.0, "end_lr": 0.0}
    assert rates(node, 4) == pytest.approx([1, 0.75, 0.5, 0.25, 0])
    warm = node | {"warmup_iters": 2, "warmup_start_lr": 0.0}
    assert rates(warm, 6) == pytest.approx([0, 0.5, 1, 0.75, 0.5, 0.25, 0])


def test_a_length_that_is_given_stays() -> None:
    node = {"type": "CosineAnnealingDecay", "learning_rate": 1.0, "T_max": 2}
    assert rates(node, 2) == pytest.approx([1, 0.5, 0])


def test_half_the_batch_size_means_half_the_rate_and_twice_the_steps() -> None:
    """Milestones count from the end of the warm-up, which keeps its ten steps: 100 is step 110."""
    node = {"type": "MultiStepDecay", "learning_rate": 0.2, "milestones": [100, 190]}
    assert scaled(node, 0.5) == node | {"learning_rate": 0.1, "milestones": [200, 380]}
    warm = node | {"warmup_iters": 10}
    assert scaled(warm, 0.5) == warm | {"learning_rate": 0.1, "milestones": [210, 390]}
    assert node["milestones"] == [100, 190], "nothing is edited in place"


def test_a_training_of_another_length_keeps_the_shape_of_its_schedule() -> None:
    """A quarter of the steps; where they become too few, milestones stay apart."""
    node = {"type": "MultiStepDecay", "learning_rate": 0.1, "milestones": [800, 1200]}
    quarter = stretched(node | {"warmup_iters": 100}, 0.25)
    assert quarter == node | {"milestones": [200, 300], "warmup_iters": 25}
    assert stretched(node, 0.001) == node | {"milestones": [1, 2]}
    assert node["milestones"] == [800, 1200], "nothing is edited in place"
    cosine = {"type": "CosineAnnealingDecay", "learning_rate": 1.0, "T_max": 50, "warmup_iters": 0}
    assert stretched(cosine, 2.0) == cosine | {"T_max": 100}
