"""Segment ids made consecutive numbers, and tables by them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from panoptic_deeplab.structures import Segment


def slots_of(ids: np.ndarray, segments: Sequence[Segment]) -> np.ndarray:
    """[H, W] int32: k + 1 where `segments[k]` lies, 0 elsewhere."""
    table = np.zeros(int(ids.max(initial=0)) + 1, np.int32)
    for slot, segment in enumerate(segments, start=1):
        if segment.id < len(table):
            table[segment.id] = slot
    return table[ids]


def table_of(values: Sequence[Any], void: Any, dtype: Any) -> np.ndarray:
    """Slot -> value, with `void` in front."""
    return np.array([void, *values], dtype)
