"""Segment ids as runs along the rows: where each begins, how long it is, whose it is.

What is constant on segments is looked up for the runs and only then spread over the pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from panoptic_deeplab.structures import Segment, run_starts


@dataclass(frozen=True)
class Runs:
    """Pixels of one id that follow each other in a row, N times; row-major.

    Attributes:
        size: (height, width) of the map.
        starts: [N] position of the first pixel in the flattened map.
        lengths: [N] pixels, at least 1.
        slots: [N] k + 1 where `segments[k]` lies, 0 where none does.
    """

    size: tuple[int, int]
    starts: np.ndarray
    lengths: np.ndarray
    slots: np.ndarray

    @property
    def rows(self) -> np.ndarray:
        """[N] row of each run."""
        return self.starts // self.size[1]

    @property
    def columns(self) -> np.ndarray:
        """[N] column of each run's first pixel."""
        return self.starts % self.size[1]

    def spread(self, values: np.ndarray) -> np.ndarray:
        """[H, W] the value [N] of each pixel's run."""
        return np.repeat(values, self.lengths).reshape(self.size)

    def painted(self, table: np.ndarray) -> np.ndarray:
        """[H, W] the table's value of each pixel's slot."""
        return self.spread(table[self.slots])


def runs_of(ids: np.ndarray, segments: Sequence[Segment]) -> Runs:
    """The runs of a map [H, W].

    `[[7, 7, 0], [7, 5, 5]]` with the segments 5 and 7 has runs that start at 0, 2, 3 and 4, are
    2, 1, 1 and 2 long and lie in the slots 2, 0, 2 and 1.
    """
    starts = run_starts(ids)
    values = ids[np.divmod(starts, max(1, ids.shape[1]))]
    slot_of = np.zeros(int(values.max(initial=0)) + 1, np.int64)
    for slot, segment in enumerate(segments, start=1):
        if segment.id < len(slot_of):
            slot_of[segment.id] = slot
    return Runs(ids.shape, starts, np.diff(starts, append=ids.size), slot_of[values])


def table_of(values: Sequence[Any], void: Any, dtype: Any) -> np.ndarray:
    """Slot -> value, with `void` in front."""
    return np.array([void, *values], dtype)
