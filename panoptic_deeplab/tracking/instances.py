"""The instances of one frame as lists of pixels."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from panoptic_deeplab.id_maps import Runs
from panoptic_deeplab.structures import PanopticMap

_ID_BITS = 32


@dataclass(frozen=True)
class Instances:
    """The N instances of a frame, in the order of their classes and ids.

    Attributes:
        index: [H, W] int32, 0 where there is none, n on the pixels of the n-th.
        categories: [N] class indices.
        ids: [N] the id of each in the map that they come from.
        scores: [N] 0..1, how much each counts in a vote on the class of its track.
    """

    index: np.ndarray
    categories: np.ndarray
    ids: np.ndarray
    scores: np.ndarray

    @classmethod
    def of(cls, panoptic: PanopticMap, classes: Collection[int]) -> Instances:
        """The segments of some classes, crowds left out; those without a score count fully."""
        known = {s.id: s for s in panoptic.segments if s.category in classes and not s.iscrowd}
        largest = int(panoptic.ids.max(initial=0))
        order = sorted((s.category, s.id) for s in known.values() if s.id <= largest)
        ids = np.array([number for _, number in order], np.int64)
        table = np.zeros(largest + 1, np.int32)
        table[ids] = np.arange(1, len(ids) + 1)
        scores = [1.0 if known[i].score is None else known[i].score for _, i in order]
        categories = np.array([category for category, _ in order], np.int64)
        return cls(table[panoptic.ids], categories, ids, np.array(scores))

    @classmethod
    def from_maps(
        cls, semantic: np.ndarray, instance: np.ndarray, classes: Collection[int]
    ) -> Instances:
        """The instances of two maps [H, W]: each class and each id above 0 within it."""
        is_instance = np.isin(semantic, list(classes)) & (instance > 0)
        keys = semantic[is_instance].astype(np.int64) << _ID_BITS | instance[is_instance]
        values, numbers = np.unique(keys, return_inverse=True)
        index = np.zeros(semantic.shape, np.int32)
        index[is_instance] = numbers + 1
        ids = values & ((1 << _ID_BITS) - 1)
        return cls(index, values >> _ID_BITS, ids, np.ones(len(ids)))

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)."""
        return self.index.shape

    def __len__(self) -> int:
        return len(self.categories)

    @cached_property
    def _runs(self) -> Runs:
        return Runs.of(self.index)

    @cached_property
    def areas(self) -> np.ndarray:
        """[N] pixels."""
        counts = np.bincount(self._runs.values, self._runs.lengths, len(self) + 1)
        return counts[1:].astype(np.int64)

    @cached_property
    def pixels(self) -> list[np.ndarray]:
        """N arrays: the pixels of each in the flattened map, ascending, int32."""
        order = np.argsort(self._runs.values, kind="stable")
        order = order[np.count_nonzero(self._runs.values == 0) :]
        starts, lengths = self._runs.starts[order], self._runs.lengths[order]
        skipped = starts - (np.cumsum(lengths) - lengths)
        pixels = np.repeat(skipped, lengths) + np.arange(lengths.sum())
        return np.split(pixels.astype(np.int32), np.cumsum(self.areas)[:-1]) if len(self) else []
