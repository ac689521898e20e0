"""The learning rates of a configuration."""

from __future__ import annotations

from panoptic_deeplab.config import Config


def learning_rates(config: Config) -> list[float]:
    """Of each step."""
    schedule, rates = config.lr_scheduler, []
    for _ in range(config.iters):
        rates.append(schedule.get_lr())
        schedule.step()
    return rates
