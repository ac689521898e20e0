"""Panoptic-DeepLab's targets: semantics, a heat map of centres and the offsets to them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from panoptic_deeplab.errors import UsageError
from panoptic_deeplab.registry import TARGETS
from panoptic_deeplab.structures import Segment, smallest_label_type

Sample = dict[str, Any]


@TARGETS.add_component
class CenterOffsetTargets:
    """Adds the training targets of Panoptic-DeepLab (https://arxiv.org/abs/1911.10194) to a sample.

    From `panoptic` [H, W] and `segments` it makes

    - `semantic` [H, W]: class indices, `ignore_index` where void;
    - `center` [H, W] float32: a Gaussian of height 1 at each instance's centre of mass (rounded
      down), the larger value where two meet;
    - `offset` [2, H, W] float32: from each thing pixel to its instance's unrounded centre of
      mass, (y, x) in pixels, 0 elsewhere;
    - `semantic_weights` [H, W]: small_instance_weight on instances that cover fewer than
      small_instance_area pixels, else 1;
    - `center_weights` [H, W]: 1 on every segment that is not a crowd, else 0;
    - `offset_weights` [H, W]: the same, on things only where ignore_stuff_in_offset.

    Crowds of things get a Gaussian and offsets too; the weights hide them inside the crowd, as in
    PaddleSeg's and the authors' PyTorch code.

    Args:
        thing_ids: class indices of the things.
        ignore_index: label of void.
        sigma: standard deviation of the Gaussian in pixels; its window is 6 sigma + 3 wide.
        small_instance_area: pixels.
        small_instance_weight: weight of the semantic loss there.
        ignore_stuff_in_offset: learn offsets on things alone.
    """

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
        slots = _slots(ids, segments)
        centers, areas, thing_pixels = self._centers(slots, segments)
        return (
            sample
            | self._labels(slots, segments, areas)
            | {
                "center": self._heatmap(ids.shape, centers[areas > 0]),
                "offset": _offsets(slots, centers, thing_pixels),
            }
        )

    def _centers(
        self, slots: np.ndarray, segments: Sequence[Segment]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of every slot the centre of mass [N, 2] and area [N]; the flat indices of thing pixels.

        Slots that are no things, or not in the picture, have area 0.
        """
        is_thing = _table([s.category in self.thing_ids for s in segments], False, bool)
        thing_pixels = np.flatnonzero(is_thing[slots])
        owner = slots.ravel()[thing_pixels]
        rows, columns = np.divmod(thing_pixels, slots.shape[1])
        areas = np.bincount(owner, minlength=len(is_thing))
        sums = [np.bincount(owner, axis, minlength=len(is_thing)) for axis in (rows, columns)]
        return np.stack(sums, 1) / np.maximum(areas, 1)[:, None], areas, thing_pixels

    def _labels(
        self, slots: np.ndarray, segments: Sequence[Segment], areas: np.ndarray
    ) -> dict[str, np.ndarray]:
        """The maps that are constant on each segment."""
        label_type = smallest_label_type(max([self.ignore_index, *(s.category for s in segments)]))
        categories = _table([s.category for s in segments], self.ignore_index, label_type)
        counted = _table([not s.iscrowd for s in segments], False, np.float32)
        on_things = _table([s.category in self.thing_ids for s in segments], False, np.float32)
        small = (areas > 0) & (areas < self.small_instance_area)
        weights = np.where(small, self.small_instance_weight, 1).astype(np.float32)
        return {
            "semantic": categories[slots],
            "semantic_weights": weights[slots],
            "center_weights": counted[slots],
            "offset_weights": (counted * on_things if self.ignore_stuff_in_offset else counted)[
                slots
            ],
        }

    def _heatmap(self, size: tuple[int, int], centers: np.ndarray) -> np.ndarray:
        """[H, W] float32 with a Gaussian around each centre (y, x)."""
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
    """[S, S] float32 window of 3 sigma + 1 pixels to each side, 1 in the middle."""
    reach = int(3 * sigma + 1)
    distance = np.arange(-reach, reach + 1, dtype=np.float64) ** 2
    squared = distance[:, None] + distance[None, :]
    return np.exp(-squared / (2 * sigma**2)).astype(np.float32)


def _slots(ids: np.ndarray, segments: Sequence[Segment]) -> np.ndarray:
    """[H, W]: 0 for void, k + 1 where `segments[k]` lies."""
    table = np.zeros(int(ids.max(initial=0)) + 1, np.int32)
    for slot, segment in enumerate(segments, start=1):
        if segment.id < len(table):
            table[segment.id] = slot
    return table[ids]


def _table(values: Sequence[Any], void: Any, dtype: Any) -> np.ndarray:
    """Slot -> value, with `void` in front."""
    return np.array([void, *values], dtype)


def _offsets(slots: np.ndarray, centers: np.ndarray, thing_pixels: np.ndarray) -> np.ndarray:
    """[2, H, W] float32 (y, x) from each thing pixel to the centre of its slot."""
    height, width = slots.shape
    offsets = np.zeros((2, height * width), np.float32)
    owner = slots.ravel()[thing_pixels]
    single = centers.astype(np.float32)  # as the reference rounds: first the centre, then the sum
    for axis, position in enumerate(np.divmod(thing_pixels, width)):
        offsets[axis, thing_pixels] = single[owner, axis] - position.astype(np.float32)
    return offsets.reshape(2, height, width)
