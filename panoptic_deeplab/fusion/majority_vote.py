"""Each instance takes the class most of its thing pixels have; large stuff keeps its own.

The merging of Panoptic-DeepLab (https://arxiv.org/abs/1911.10194, section 3.2), as in DeeperLab.
All counting is one histogram over (instance, class), all painting one look-up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from panoptic_deeplab.errors import UsageError
from panoptic_deeplab.structures import VOID_ID, Segment


def majority_vote(
    semantic: np.ndarray,
    instances: np.ndarray,
    *,
    thing_ids: Sequence[int],
    min_stuff_area: int,
    label_divisor: int = 1000,
    ignore_index: int = 255,
) -> np.ndarray:
    """The panoptic map as class * label_divisor + n.

    Args:
        semantic: [H, W] class indices.
        instances: [H, W], 0 for none, else the number of an instance.
        thing_ids: class indices of the things.
        min_stuff_area: stuff classes with fewer pixels (of no instance) become void.
        label_divisor: must exceed the number of instances of any class.
        ignore_index: void in the result.

    Returns:
        [H, W] int32: class * label_divisor + n for things, n = 1, 2, ... in each class in the
        order of the instances' numbers; the class for stuff; ignore_index for void, which is also
        every thing pixel of no instance and every stuff pixel inside an instance.

    Raises:
        UsageError: label_divisor is too small to number the instances.
    """
    slots, counts = _count(semantic, instances, thing_ids)
    ballot = _Ballot.of(counts, thing_ids, min_stuff_area, ignore_index)
    numbers = _number_in_class(ballot.winners)
    if numbers.max(initial=0) >= label_divisor:
        raise UsageError(
            f"label_divisor {label_divisor} cannot number {numbers.max()} instances of a class; "
            "make it larger"
        )
    values = np.where(ballot.winners >= 0, ballot.winners * label_divisor + numbers, ignore_index)
    return _look_up(ballot.table(values, ballot.kept_stuff, ignore_index), slots)


def fuse_by_majority(
    semantic: np.ndarray,
    instances: np.ndarray,
    *,
    thing_ids: Sequence[int],
    min_stuff_area: int,
    ignore_index: int = 255,
) -> tuple[np.ndarray, list[Segment]]:
    """The same map as ids 1..N (0 void) with its segments: instances first, then stuff.

    Arguments as `majority_vote`. Segments have no score yet.

    Returns:
        [H, W] int32 ids; the segments in the order of their ids.
    """
    slots, counts = _count(semantic, instances, thing_ids)
    table, segments = elect(
        counts, thing_ids=thing_ids, min_stuff_area=min_stuff_area, ignore_index=ignore_index
    )
    return _look_up(table, slots), segments


def elect(
    counts: np.ndarray,
    *,
    thing_ids: Sequence[int],
    min_stuff_area: int,
    ignore_index: int = 255,
) -> tuple[np.ndarray, list[Segment]]:
    """What `fuse_by_majority` makes of the counts alone.

    Args:
        counts: [K + 1, C] pixels of each instance (0 for none) and class.
        thing_ids: as `majority_vote`, and so the rest.

    Returns:
        [K + 1, C] int32, the id of the pixels of each instance and class; the segments.
    """
    ballot = _Ballot.of(counts, thing_ids, min_stuff_area, ignore_index)
    elected = np.flatnonzero(ballot.winners >= 0)
    instance_ids = np.full(len(ballot.winners), VOID_ID)
    instance_ids[elected] = np.arange(1, len(elected) + 1)
    stuff_ids = np.arange(len(elected) + 1, len(elected) + 1 + len(ballot.kept_stuff))
    table = ballot.table(instance_ids, stuff_ids, VOID_ID)
    segments = [
        Segment(i + 1, int(ballot.winners[k]), area=int(ballot.areas[k]), is_thing=True)
        for i, k in enumerate(elected)
    ] + [
        Segment(int(i), int(c), area=int(ballot.stuff_areas[c]), is_thing=False)
        for i, c in zip(stuff_ids, ballot.kept_stuff, strict=True)
    ]
    return table, segments


@dataclass(frozen=True)
class _Ballot:
    """The result of one image's vote; K instances, C class indices.

    Attributes:
        winners: [K + 1] class of each instance, -1 where it has no thing pixel (always for 0).
        areas: [K + 1] thing pixels of each instance.
        stuff_areas: [C] pixels of no instance.
        kept_stuff: the stuff classes that are large enough, ascending.
        things: the thing classes, ascending.
    """

    winners: np.ndarray
    areas: np.ndarray
    stuff_areas: np.ndarray
    kept_stuff: np.ndarray
    things: np.ndarray

    @classmethod
    def of(
        cls, counts: np.ndarray, thing_ids: Sequence[int], min_stuff_area: int, ignore_index: int
    ) -> _Ballot:
        """From the pixels [K + 1, C] of each instance and class."""
        things = np.asarray(sorted(thing_ids), np.int64)
        votes = counts[:, things]
        areas = votes.sum(axis=1)
        areas[0] = 0
        winners = np.full(len(counts), -1, np.int64)
        if areas.any():
            winners[areas > 0] = things[votes[areas > 0].argmax(axis=1)]
        stuff = np.setdiff1d(np.flatnonzero(counts[0]), [*things, ignore_index])
        kept = stuff[counts[0, stuff] >= min_stuff_area]
        return cls(winners, areas, counts[0], kept, things)

    def table(self, instance_values: np.ndarray, stuff_values: np.ndarray, void: int) -> np.ndarray:
        """[K + 1, C] int32: each instance's thing pixels and each kept stuff get their value."""
        table = np.full((len(self.winners), len(self.stuff_areas)), void, np.int32)
        table[np.ix_(range(1, len(self.winners)), self.things)] = instance_values[1:, None]
        table[0, self.kept_stuff] = stuff_values
        return table


def _count(
    semantic: np.ndarray, instances: np.ndarray, thing_ids: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    """[H, W] instance * C + class, C classes being enough; [K + 1, C] how often each occurs."""
    classes = int(max(semantic.max(initial=0), *thing_ids, 0)) + 1
    slots = instances.astype(np.int32) * classes + semantic
    length = (int(instances.max(initial=0)) + 1) * classes
    return slots, np.bincount(slots.ravel(), minlength=length).reshape(-1, classes)


def _look_up(table: np.ndarray, slots: np.ndarray) -> np.ndarray:
    return table.ravel().take(slots)


def _number_in_class(winners: np.ndarray) -> np.ndarray:
    """1, 2, ... for the instances of each class in their order."""
    numbers = np.zeros_like(winners)
    for category in np.unique(winners):
        members = winners == category
        numbers[members] = np.arange(1, members.sum() + 1)
    return numbers
