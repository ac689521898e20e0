"""Each instance takes the class most of its thing pixels have; large stuff keeps its own.

The merging of Panoptic-DeepLab (https://arxiv.org/abs/1911.10194, section 3.2), as in DeeperLab.
Counting is one histogram over (instance, class), painting one look-up.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

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
        ignore_index: void in both maps.

    Returns:
        [H, W] int32: class * label_divisor + n for things, n = 1, 2, ... in each class in the
        order of the instances' numbers; the class for stuff; ignore_index for void, which is also
        every thing pixel of no instance and every stuff pixel inside an instance.

    Raises:
        UsageError: label_divisor is too small to number the instances.
    """
    num_classes = int(max(semantic.max(initial=0), *thing_ids, 0)) + 1
    slots = instances.astype(np.int32) * num_classes + semantic
    length = (int(instances.max(initial=0)) + 1) * num_classes
    counts = np.bincount(slots.ravel(), minlength=length).reshape(-1, num_classes)
    counts[0, np.arange(num_classes) == ignore_index] = 0

    table, segments = vote_from_counts(counts, thing_ids, min_stuff_area)
    values, numbers = np.full(len(segments) + 1, ignore_index, np.int32), Counter[int]()
    for segment in segments:
        values[segment.id] = segment.category
        if segment.is_thing:
            numbers[segment.category] += 1
            values[segment.id] *= label_divisor
            values[segment.id] += numbers[segment.category]
    largest = max(numbers.values(), default=0)
    if largest >= label_divisor:
        raise UsageError(
            f"label_divisor {label_divisor} cannot number {largest} instances of a class; "
            "make it larger"
        )
    return values[table].ravel().take(slots)


def vote_from_counts(
    counts: np.ndarray, thing_ids: Sequence[int], min_stuff_area: int
) -> tuple[np.ndarray, list[Segment]]:
    """Fuse by the number of pixels that each instance has of each class.

    Args:
        counts: [K + 1, C] pixels of each instance (row 0: of none) and class.
        thing_ids: class indices of the things.
        min_stuff_area: stuff classes with fewer pixels (of no instance) become void.

    Returns:
        [K + 1, C] int32, the id of the pixels of each instance and class, 0 for void; the segments
        with ids 1..N in this order: instances in theirs, then stuff by class. Without scores.
    """
    things = np.array(sorted(thing_ids), np.int64)
    votes = counts[1:, things]
    areas = votes.sum(axis=1)
    kept = np.flatnonzero(areas)
    stuff = np.setdiff1d(np.flatnonzero(counts[0]), things)
    stuff = stuff[counts[0, stuff] >= min_stuff_area]
    thing_segment_ids = np.arange(1, len(kept) + 1)
    stuff_segment_ids = np.arange(len(kept) + 1, len(kept) + len(stuff) + 1)

    table = np.full(counts.shape, VOID_ID, np.int32)
    table[np.ix_(kept + 1, things)] = thing_segment_ids[:, None]
    table[0, stuff] = stuff_segment_ids
    segments = [
        Segment(int(i), int(things[votes[k].argmax()]), area=int(areas[k]), is_thing=True)
        for i, k in zip(thing_segment_ids, kept, strict=True)
    ] + [
        Segment(int(i), int(category), area=int(counts[0, category]), is_thing=False)
        for i, category in zip(stuff_segment_ids, stuff, strict=True)
    ]
    return table, segments
