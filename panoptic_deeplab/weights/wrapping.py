"""Named weights inside what a training saved around them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_PLACES = (
    *("state_dict", "model_state_dict", "model", "params", "weights", "network", "net"),
    "blobs",  # Caffe2's word
)
"""Entries under which trainings save the weights, beside an optimizer's state and the like."""
_PREFIXES = ("module.", "_layers.", "_orig_mod.")
"""Of all names, where a network was trained on several GPUs or compiled."""


def unwrapped(content: Mapping[Any, Any]) -> tuple[Mapping[Any, Any], list[str]]:
    """Return the named weights of a file's content, and the names of what lies beside them.

    >>> unwrapped({"state_dict": {"module.conv.weight": 1}, "epoch": 3})
    ({'conv.weight': 1}, ['epoch'])
    """
    beside: list[str] = []
    while (place := _place(content)) is not None:
        beside += [str(name) for name in content if name != place]
        content = content[place]
    for prefix in _PREFIXES:
        if content and all(isinstance(name, str) and name.startswith(prefix) for name in content):
            content = {name.removeprefix(prefix): value for name, value in content.items()}
    return content, beside


def _place(content: Mapping[Any, Any]) -> str | None:
    return next((name for name in _PLACES if isinstance(content.get(name), Mapping)), None)
