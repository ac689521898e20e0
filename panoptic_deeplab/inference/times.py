"""What a prediction says of its times at the end."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from panoptic_deeplab.stopwatch import format_profile

_log = logging.getLogger(__name__)


def tell_times(seconds: Mapping[str, float], total: float, count: int, unit: str) -> None:
    """Say how long all took, and each step for one image.

    Args:
        seconds: by step, of all images.
        total: wall time in seconds.
        count: number of images.
        unit: what one of them is called, in the plural.
    """
    parts = ", ".join(f"{name} {value / max(count, 1):.3f} s" for name, value in seconds.items())
    _log.info("%d %s in %.1f s; for each: %s", count, unit, total, parts)


def tell_profile(seconds: Mapping[str, float], total: float, count: int, unit: str) -> None:
    """Show the same as a table."""
    one = unit.removesuffix("s")
    _log.info("%d %s:\n%s", count, unit, format_profile(seconds, total, count, one))


def tell_how_busy(computing: Mapping[str, float], total: float, of: str = "the time") -> None:
    """Say for which part of the time the model computed, beside which all else is done.

    Args:
        computing: seconds by step of the model.
        total: seconds in which it could compute.
        of: what they are called.
    """
    busy = sum(computing.values())
    if busy:
        _log.info("%s: busy for %.0f%% of %s", " and ".join(computing), 100 * busy / total, of)
