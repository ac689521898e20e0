"""The runs of an id map with the segments that they belong to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from panoptic_deeplab.id_maps import Runs
from panoptic_deeplab.structures import Segment


@dataclass(frozen=True)
class SegmentRuns(Runs):
    """Runs that know their segment.

    Attributes:
        slots: [N] k + 1 where `segments[k]` lies, 0 where none does.
    """

    slots: np.ndarray

    def painted(self, table: np.ndarray) -> np.ndarray:
        """[H, W] the table's value of each pixel's slot."""
        return self.spread(table[self.slots])


def segment_runs(ids: np.ndarray, segments: Sequence[Segment]) -> SegmentRuns:
    """The runs of a map [H, W] in the slots of `segments`.

    Those of `[[7, 7, 0], [7, 5, 5]]` with the segments 5 and 7 lie in the slots 2, 0, 2 and 1.
    """
    runs = Runs.of(ids)
    slot_of = np.zeros(int(runs.values.max(initial=0)) + 1, np.int64)
    for slot, segment in enumerate(segments, start=1):
        if segment.id < len(slot_of):
            slot_of[segment.id] = slot
    return SegmentRuns(runs.size, runs.starts, runs.lengths, runs.values, slot_of[runs.values])


def table_of(values: Sequence[Any], void: Any, dtype: Any) -> np.ndarray:
    """Slot -> value, with `void` in front."""
    return np.array([void, *values], dtype)
