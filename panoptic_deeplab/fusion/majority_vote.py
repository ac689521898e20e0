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
    ballot = _count(semantic, instances, thing_ids, min_stuff_area, ignore_index)
    numbers = _number_in_class(ballot.winners)
    if numbers.max(initial=0) >= label_divisor:
        raise UsageError(
            f"label_divisor {label_divisor} cannot number {numbers.max()} instances of a class; "
            "make it larger"
        )
    values = np.where(ballot.winners >= 0, ballot.winners * label_divisor + numbers, ignore_index)
    return ballot.paint(values, ballot.kept_stuff, ignore_index)


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
    ballot = _count(semantic, instances, thing_ids, min_stuff_area, ignore_index)
    elected = np.flatnonzero(ballot.winners >= 0)
    instance_ids = np.full(len(ballot.winners), VOID_ID)
    instance_ids[elected] = np.arange(1, len(elected) + 1)
    stuff_ids = np.arange(len(elected) + 1, len(elected) + 1 + len(ballot.kept_stuff))
    ids = ballot.paint(instance_ids, ballot.kept_stuff, VOID_ID, stuff_ids)
    segments = [
        Segment(i + 1, int(ballot.winners[k]), area=int(ballot.areas[k]), is_thing=True)
        for i, k in enumerate(elected)
    ] + [
        Segment(int(i), int(c), area=int(ballot.stuff_areas[c]), is_thing=False)
        for i, c in zip(stuff_ids, ballot.kept_stuff, strict=True)
    ]
    return ids, segments


@dataclass(frozen=True)
class _Ballot:
    """The counts of one image; K instances, C class indices.

    Attributes:
        slots: [H, W] instance * C + class.
        winners: [K + 1] class of each instance, -1 where it has no thing pixel (always for 0).
        areas: [K + 1] thing pixels of each instance.
        stuff_areas: [C] pixels of no instance.
        kept_stuff: the stuff classes that are large enough, ascending.
        thing_ids: the thing classes.
    """

    slots: np.ndarray
    winners: np.ndarray
    areas: np.ndarray
    stuff_areas: np.ndarray
    kept_stuff: np.ndarray
    thing_ids: np.ndarray

    def paint(
        self,
        instance_values: np.ndarray,
        stuff: np.ndarray,
        void: int,
        stuff_values: np.ndarray | None = None,
    ) -> np.ndarray:
        """[H, W] int32: each instance's thing pixels and each stuff class get their value."""
        table = np.full((len(self.winners), len(self.stuff_areas)), void, np.int32)
        table[np.ix_(range(1, len(self.winners)), self.thing_ids)] = instance_values[1:, None]
        table[0, stuff] = stuff if stuff_values is None else stuff_values
        return table.ravel()[self.slots]


def _count(
    semantic: np.ndarray,
    instances: np.ndarray,
    thing_ids: Sequence[int],
    min_stuff_area: int,
    ignore_index: int,
) -> _Ballot:
    things = np.asarray(sorted(thing_ids), np.int64)
    classes = int(max(semantic.max(initial=0), things.max(initial=0))) + 1
    slots = instances.astype(np.int32) * classes + semantic
    instance_count = int(instances.max(initial=0)) + 1
    counts = np.bincount(slots.ravel(), minlength=instance_count * classes)
    counts = counts.reshape(instance_count, classes)
    votes = counts[:, things]
    areas = votes.sum(axis=1)
    areas[0] = 0
    winners = np.full(instance_count, -1, np.int64)
    if areas.any():
        winners[areas > 0] = things[votes[areas > 0].argmax(axis=1)]
    stuff = np.setdiff1d(np.flatnonzero(counts[0]), [*things, ignore_index])
    kept = stuff[counts[0, stuff] >= min_stuff_area]
    return _Ballot(slots, winners, areas, counts[0], kept, things)


def _number_in_class(winners: np.ndarray) -> np.ndarray:
    """1, 2, ... for the instances of each class in their order."""
    numbers = np.zeros_like(winners)
    for category in np.unique(winners):
        members = winners == category
        numbers[members] = np.arange(1, members.sum() + 1)
    return numbers
