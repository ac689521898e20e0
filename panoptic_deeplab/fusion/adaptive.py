"""EfficientPS's fusion: where both heads agree on an instance its logit grows, else it shrinks.

https://arxiv.org/abs/2004.02307, section 3.4. An instance has a logit of the mask head and, inside
its box, the semantic head's logit of its class. Fused, they are compared at every pixel with the
logits of the stuff classes. The instances are taken one by one, each only within its box, against
the highest logit so far: there is never a map for each of them.

Two numbers are the released code's, not the paper's: mask logits count four times, and a mask is
pasted on its box by bilinear sampling with zeros around it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple, Protocol

import numpy as np

from panoptic_deeplab.fusion.instances import Instances
from panoptic_deeplab.fusion.pasting import (
    THINNEST,
    Window,
    paste,
    reached_pixels,
    touched_pixels,
)
from panoptic_deeplab.fusion.score_order import Occupancy
from panoptic_deeplab.structures import VOID_ID, Segment

MASK_FACTOR = 4.0
"""What the released code multiplies mask logits by; the paper's formula has none."""


class SemanticMaps(Protocol):
    """The semantic head's logits at the size of the result, each made when it is asked for."""

    @property
    def num_classes(self) -> int:
        """C."""

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)."""

    @property
    def labels(self) -> np.ndarray:
        """[H, W] the class of the highest logit."""

    def plane(self, category: int) -> np.ndarray:
        """[H, W] float32 logits of one class."""


@dataclass(frozen=True)
class AdaptiveRule:
    """How instances and semantics are fused.

    Attributes:
        thing_ids: class indices of the things.
        min_stuff_area: a stuff class with fewer pixels (of no instance) becomes void.
        overlap_threshold: fraction of its mask that an instance may have lost to higher-scoring
            ones.
        mask_factor: what mask logits are multiplied by.
        strict_reference: do as the released code does, which differs in five ways. Where every
            stuff logit is negative, the first instance wins far outside its box, its logit being 0
            there. Where all pixels are some instance's, the first one counts as background and the
            stuff takes its pixels. Masks reach half a mask pixel beyond their boxes. The semantic
            logits of the first row and column of a box count as 0, and of the last ones where boxes
            end there. And a box thinner than a pixel is not widened to one for its mask.
    """

    thing_ids: Sequence[int]
    min_stuff_area: int
    overlap_threshold: float
    mask_factor: float
    strict_reference: bool


def adaptive_fusion(
    semantic_logits: np.ndarray,
    boxes: np.ndarray,
    scores: np.ndarray,
    classes: np.ndarray,
    mask_logits: np.ndarray,
    *,
    thing_ids: Sequence[int],
    min_stuff_area: int = 2048,
    overlap_threshold: float = 0.5,
    mask_factor: float = MASK_FACTOR,
    strict_reference: bool = False,
) -> tuple[np.ndarray, list[Segment]]:
    """The panoptic map of one image from logits at its size.

    Instances whose box or score is no finite number take no part; nor does a logit that is NaN.

    Args:
        semantic_logits: [C, H, W].
        boxes: [K, 4] (x0, y0, x1, y1) in pixels.
        scores: [K] 0..1.
        classes: [K] class indices, each one of `thing_ids`.
        mask_logits: [K, h, w] on each box, 28 x 28 in the paper.
        thing_ids: class indices of the things.
        min_stuff_area: as `AdaptiveRule`, and so the rest.

    Returns:
        [H, W] int32 ids, 0 for void; the segments in the order of their ids: instances by their
        score, which is the segment's too, then stuff by its class, without a score.
    """
    rule = AdaptiveRule(thing_ids, min_stuff_area, overlap_threshold, mask_factor, strict_reference)
    return fuse(DenseMaps(semantic_logits), Instances(boxes, scores, classes, mask_logits), rule)


def fuse(
    maps: SemanticMaps, instances: Instances, rule: AdaptiveRule
) -> tuple[np.ndarray, list[Segment]]:
    """`adaptive_fusion` of logits in any form."""
    members = instances.only(instances.usable())
    place = _place_as_released if rule.strict_reference else _place
    plane = cache(maps.plane)
    placed = (
        place(mask, box, plane(int(category)))
        for box, category, mask in zip(members.boxes, members.classes, members.masks, strict=True)
    )
    return fuse_placed(maps, members.scores, members.classes, placed, rule)


def fuse_placed(
    maps: SemanticMaps,
    scores: np.ndarray,
    classes: np.ndarray,
    placed: Iterable[Placed],
    rule: AdaptiveRule,
) -> tuple[np.ndarray, list[Segment]]:
    """`adaptive_fusion` of instances whose masks lie on the image already.

    Args:
        maps: the semantic head's logits.
        scores: [K], the highest first.
        classes: [K] class indices.
        placed: the K instances, each taken when it is needed.
        rule: of the fusion.
    """
    stuff_ids = np.setdiff1d(np.arange(maps.num_classes), list(rule.thing_ids))
    winners = _Winners(_highest(maps, stuff_ids))
    occupancy = Occupancy(maps.size, rule.overlap_threshold)
    for number, (window, mask, semantic) in enumerate(placed, start=1):
        if occupancy.claim(mask > 0, window) is None:
            continue
        winners.add(number, adaptive_logits(rule.mask_factor * mask, semantic), window)
        if rule.strict_reference:
            winners.add_zeros_outside(number, window)
    return _segmented(winners.numbers, maps, scores, classes, rule, stuff_ids)


def adaptive_logits(mask: np.ndarray, semantic: np.ndarray) -> np.ndarray:
    """(sigmoid(mask) + sigmoid(semantic)) * (mask + semantic), the paper's fused logits."""
    with np.errstate(over="ignore", invalid="ignore"):
        return (1 / (1 + np.exp(-mask)) + 1 / (1 + np.exp(-semantic))) * (mask + semantic)


class DenseMaps:
    """Logits [C, H, W] that have the size of the result."""

    def __init__(self, logits: np.ndarray) -> None:
        self.logits = logits
        self.num_classes = len(logits)
        self.size: tuple[int, int] = logits.shape[1:]

    @property
    def labels(self) -> np.ndarray:
        """[H, W] the class of the highest logit; NaN is the lowest."""
        return np.where(np.isnan(self.logits), -np.inf, self.logits).argmax(axis=0)

    def plane(self, category: int) -> np.ndarray:
        """[H, W] logits of one class."""
        return self.logits[category]


def _highest(maps: SemanticMaps, classes: np.ndarray) -> np.ndarray:
    """[H, W] float32, the highest logit of some classes; a new array."""
    highest = np.full(maps.size, -np.inf, np.float32)
    for category in classes:
        np.fmax(highest, maps.plane(category), out=highest)
    return highest


class Placed(NamedTuple):
    """An instance in a window of the image.

    Attributes:
        window: where it lies.
        mask: [h, w] logits of its mask.
        semantic: [h, w] the semantic head's logits of its class.
    """

    window: Window
    mask: np.ndarray
    semantic: np.ndarray


def _place(mask: np.ndarray, box: np.ndarray, semantic: np.ndarray) -> Placed:
    """On the pixels of its box."""
    window = touched_pixels(box, semantic.shape)
    return Placed(window, paste(mask, box, window), semantic[window])


def _place_as_released(mask: np.ndarray, box: np.ndarray, semantic: np.ndarray) -> Placed:
    """On all pixels that the pasted mask reaches."""
    x0, y0, x1, y1 = (float(side) for side in box)
    rows, columns = (
        slice(max(int(start + 1), 0), max(int(round(end - 1) + 1), 0))
        for start, end in ((y0, y1), (x0, x1))
    )
    counted = np.zeros(semantic.shape, np.float32)
    counted[rows, columns] = semantic[rows, columns]
    window = reached_pixels((x0, y0, x1, y1), semantic.shape, mask.shape)
    return Placed(window, paste(mask, box, window, THINNEST), counted[window])


class _Winners:
    """The highest logit so far at each pixel, and the number of its instance, 0 for stuff.

    Args:
        highest: [H, W] float32, the stuff's highest logit; taken over.
    """

    def __init__(self, highest: np.ndarray) -> None:
        self.highest = highest
        self.numbers = np.zeros(highest.shape, np.int32)

    def add(self, number: int, logits: np.ndarray, window: Window) -> None:
        """Compare an instance's logits [h, w] in its window with the highest before it."""
        with np.errstate(invalid="ignore"):
            wins = logits > self.highest[window]
        np.copyto(self.highest[window], logits, where=wins)
        np.copyto(self.numbers[window], number, where=wins)

    def add_zeros_outside(self, number: int, window: Window) -> None:
        """Compare the logit 0, which an instance of the released code has outside its window."""
        wins = self.highest < 0
        wins[window] = False
        self.highest[wins] = 0
        self.numbers[wins] = number


def _segmented(
    winners: np.ndarray,
    maps: SemanticMaps,
    scores: np.ndarray,
    categories: np.ndarray,
    rule: AdaptiveRule,
    stuff_ids: np.ndarray,
) -> tuple[np.ndarray, list[Segment]]:
    """The ids and segments of the instances that have won pixels and of the stuff around them.

    Args:
        winners: [H, W] 0 for background, else 1..K.
        maps: for the stuff's class at the background's pixels.
        scores: [K] of the instances.
        categories: [K] class indices of the instances.
        rule: of the fusion.
        stuff_ids: class indices of the stuff.
    """
    background = int(winners.min()) if rule.strict_reference else 0
    classes, count = maps.num_classes, len(scores)
    slots = np.where(winners == background, maps.labels, classes + winners)
    counts = np.bincount(slots.ravel(), minlength=classes + count + 1)
    stuff = stuff_ids[(counts[stuff_ids] >= rule.min_stuff_area) & (counts[stuff_ids] > 0)]
    areas = counts[classes:]
    areas[background] = counts[:classes].sum() - counts[stuff].sum()
    kept = np.flatnonzero(areas[1:]) + 1
    ids = np.full(count + 1, VOID_ID, np.int32)
    ids[kept] = np.arange(1, len(kept) + 1)
    stuff_segment_ids = np.arange(len(kept) + 1, len(kept) + 1 + len(stuff))
    table = np.concatenate([np.full(classes, ids[background], np.int32), ids])
    table[stuff] = stuff_segment_ids
    segments = [
        Segment(
            int(ids[k]),
            int(categories[k - 1]),
            area=int(areas[k]),
            is_thing=True,
            score=float(scores[k - 1]),
        )
        for k in kept
    ] + [
        Segment(int(i), int(category), area=int(counts[category]), is_thing=False)
        for i, category in zip(stuff_segment_ids, stuff, strict=True)
    ]
    return table.take(slots), segments
