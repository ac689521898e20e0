"""Panoptic-DeepLab's targets: semantic labels, center heatmap and offsets to the centers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from panoptic_deeplab.errors import UsageError
from panoptic_deeplab.registry import TARGETS
from panoptic_deeplab.structures import Sample, Segment, smallest_label_type
from panoptic_deeplab.targets.runs import SegmentRuns, segment_runs, table_of


@TARGETS.add_component
class CenterOffsetTargets:
    """Add the training targets of Panoptic-DeepLab (https://arxiv.org/abs/1911.10194) to a sample.

    From `panoptic` [H, W] and `segments` come

    - `semantic` [H, W]: class indices, `ignore_index` where void;
    - `center` [H, W] float32: a Gaussian of height 1 at each instance's center of mass (rounded
      down), the larger value where two overlap;
    - `offset` [2, H, W] float32: from each thing pixel to its instance's unrounded center of
      mass, (y, x) in pixels, 0 elsewhere;
    - `semantic_weights` [H, W]: small_instance_weight on instances that cover fewer than
      small_instance_area pixels, else 1; uint8, or float32 where the weight is not a whole number
      in 0..255;
    - `center_weights` [H, W] uint8: 1 on every segment that is not a crowd, else 0;
    - `offset_weights` [H, W] uint8: the same, on things only where ignore_stuff_in_offset.

    Crowds of things get a Gaussian and offsets too; the weights hide them inside the crowd, as in
    PaddleSeg's and the authors' PyTorch code.

    Args:
        thing_ids: class indices of the things.
        ignore_index: label of void.
        sigma: standard deviation of the Gaussian in pixels; its window is 6 sigma + 3 wide.
        small_instance_area: in pixels.
        small_instance_weight: weight of the semantic loss on small instances.
        ignore_stuff_in_offset: learn offsets on things only.
    """

    target_names = (
        *("semantic", "center", "offset"),
        *("semantic_weights", "center_weights", "offset_weights"),
    )

    def __init__(
        self,
        thing_ids: Sequence[int],
        ignore_index: int = 255,
        sigma: float = 8,
        small_instance_area: int = 4096,
        small_instance_weight: float = 3,
        ignore_stuff_in_offset: bool = True,
    ) -> None:
        if not 0 < sigma <= 1000:
            raise UsageError(f"sigma must be in 0..1000 pixels, got {sigma}")
        self.thing_ids = tuple(thing_ids)
        self.ignore_index = ignore_index
        self.small_instance_area = small_instance_area
        self.small_instance_weight = small_instance_weight
        self.ignore_stuff_in_offset = ignore_stuff_in_offset
        self.gaussian = _gaussian(sigma)

    def __call__(self, sample: Sample) -> Sample:
        ids, segments = sample["panoptic"], list({s.id: s for s in sample["segments"]}.values())
        runs = segment_runs(ids, segments)
        is_thing = table_of([s.category in self.thing_ids for s in segments], False, bool)
        areas, sums = _measured(runs, len(is_thing))
        areas[~is_thing] = 0
        centers = sums / np.maximum(areas, 1)[:, None]
        return (
            sample
            | self._labels(runs, segments, areas)
            | {
                "center": self._heatmap(ids.shape, centers[areas > 0]),
                "offset": _offsets(runs, centers, is_thing),
            }
        )

    def _labels(
        self, runs: SegmentRuns, segments: Sequence[Segment], areas: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Return the maps that are constant on each segment."""
        label_type = smallest_label_type(self.ignore_index, *(s.category for s in segments))
        categories = table_of([s.category for s in segments], self.ignore_index, label_type)
        counted = table_of([not s.iscrowd for s in segments], False, np.uint8)
        on_things = table_of([s.category in self.thing_ids for s in segments], False, np.uint8)
        small = (areas > 0) & (areas < self.small_instance_area)
        weight_type = np.uint8 if self.small_instance_weight in range(256) else np.float32
        weights = np.where(small, self.small_instance_weight, 1).astype(weight_type)
        return {
            "semantic": runs.painted(categories),
            "semantic_weights": runs.painted(weights),
            "center_weights": runs.painted(counted),
            "offset_weights": runs.painted(
                counted * on_things if self.ignore_stuff_in_offset else counted
            ),
        }

    def _heatmap(self, size: tuple[int, int], centers: np.ndarray) -> np.ndarray:
        """Return [H, W] float32 with a Gaussian around each center (y, x)."""
        heatmap = np.zeros(size, np.float32)
        reach = len(self.gaussian) // 2
        for y, x in centers.astype(np.int64):
            top, left = y - reach, x - reach
            rows = slice(max(top, 0), min(y + reach + 1, size[0]))
            columns = slice(max(left, 0), min(x + reach + 1, size[1]))
            window = self.gaussian[
                rows.start - top : rows.stop - top, columns.start - left : columns.stop - left
            ]
            np.maximum(heatmap[rows, columns], window, out=heatmap[rows, columns])
        return heatmap


def _gaussian(sigma: float) -> np.ndarray:
    """Return an [S, S] float32 window of 3 sigma + 1 pixels to each side, 1 in the middle."""
    reach = int(3 * sigma + 1)
    distance = np.arange(-reach, reach + 1, dtype=np.float64) ** 2
    squared = distance[:, None] + distance[None, :]
    return np.exp(-squared / (2 * sigma**2)).astype(np.float32)


def _measured(runs: SegmentRuns, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the pixels of each of `count` slots [N] and the sums of their (y, x) [N, 2]."""
    doubled = 2 * runs.columns + runs.lengths - 1  # twice the middle, which is a whole number
    rows, columns = (
        np.bincount(runs.slots, values * runs.lengths, count) for values in (runs.rows, doubled)
    )
    return np.bincount(runs.slots, runs.lengths, count), np.stack([rows, columns / 2], axis=1)


def _offsets(runs: SegmentRuns, centers: np.ndarray, is_thing: np.ndarray) -> np.ndarray:
    """Return [2, H, W] float32 (y, x) from each thing pixel to its slot's center, 0 elsewhere."""
    # rounded as in the reference: first the center, then the difference
    centers, there = centers.astype(np.float32) * is_thing[:, None], is_thing[runs.slots]
    offsets = np.empty((2, *runs.size), np.float32)
    offsets[0] = runs.spread(centers[runs.slots, 0] - there * runs.rows.astype(np.float32))
    np.multiply(runs.spread(there), np.arange(runs.size[1], dtype=np.float32), out=offsets[1])
    np.subtract(runs.painted(centers[:, 1]), offsets[1], out=offsets[1])
    return offsets
