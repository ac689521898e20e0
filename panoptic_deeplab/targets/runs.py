"""Runs of an id map, and the segment of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from panoptic_deeplab.id_maps import Runs
from panoptic_deeplab.structures import Segment


@dataclass(frozen=True)
class SegmentRuns(Runs):
    """Runs with the segment that each belongs to.

    Attributes:
        slots: [N] k + 1 for a run of `segments[k]`, 0 for a run of none.
    """

    slots: np.ndarray

    def painted(self, table: np.ndarray) -> np.ndarray:
        """Return [H, W] with the table's value for each pixel's slot."""
        return self.spread(table[self.slots])


def segment_runs(ids: np.ndarray, segments: Sequence[Segment]) -> SegmentRuns:
    """Return the runs of a map [H, W] with the slots of `segments`.

    The runs of `[[7, 7, 0], [7, 5, 5]]` with the segments 5 and 7 have the slots 2, 0, 2 and 1.
    """
    runs = Runs.of(ids)
    slot_of = np.zeros(int(runs.values.max(initial=0)) + 1, np.int64)
    for slot, segment in enumerate(segments, start=1):
        if segment.id < len(slot_of):
            slot_of[segment.id] = slot
    return SegmentRuns(runs.size, runs.starts, runs.lengths, runs.values, slot_of[runs.values])


def table_of(values: Sequence[Any], void: Any, dtype: Any) -> np.ndarray:
    """Return the table slot -> value, with `void` first."""
    return np.array([void, *values], dtype)
