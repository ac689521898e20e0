"""Warnings that hold for many files and are given for the first of them."""

from __future__ import annotations

import logging
from collections.abc import Hashable
from typing import Any

_given: set[Hashable] = set()


def warn_once(log: logging.Logger, topic: Hashable, message: str, *arguments: Any) -> None:
    """Log a warning, unless this process has given one on that topic already."""
    if topic not in _given:
        _given.add(topic)
        log.warning(message, *arguments)
