"""Segment ids made consecutive numbers, and tables by them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from panoptic_deeplab.structures import Segment

_BYTE_VALUES = 256


def slots_of(ids: np.ndarray, segments: Sequence[Segment]) -> np.ndarray:
    """[H, W] int32 (uint8 where that holds them all): k + 1 where `segments[k]` lies, else 0."""
    slot_type = np.uint8 if len(segments) < _BYTE_VALUES else np.int32
    table = np.zeros(int(ids.max(initial=0)) + 1, slot_type)
    for slot, segment in enumerate(segments, start=1):
        if segment.id < len(table):
            table[segment.id] = slot
    return table.take(ids)


def table_of(values: Sequence[Any], void: Any, dtype: Any) -> np.ndarray:
    """Slot -> value, with `void` in front."""
    return np.array([void, *values], dtype)


def painted(slots: np.ndarray, table: np.ndarray) -> np.ndarray:
    """[H, W] the table's value of each slot; of bytes OpenCV looks it up ten times as fast."""
    if slots.dtype != np.uint8:
        return table.take(slots)
    whole = np.zeros(_BYTE_VALUES, table.dtype)
    whole[: len(table)] = table
    if table.dtype == bool:
        return cv2.LUT(slots, whole.view(np.uint8)).view(bool)
    return cv2.LUT(slots, whole)
