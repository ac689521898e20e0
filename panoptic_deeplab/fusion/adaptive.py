"""EfficientPS's fusion: where both heads agree on an instance its logit grows, else it shrinks.

https://arxiv.org/abs/2004.02307, section 3.4. An instance has a logit of the mask head and, inside
its box, the semantic head's logit of its class. Fused they compete, pixel by pixel, with the logits
of the stuff classes. The instances are taken one by one, each only within its box, against the best
logit so far: there is never a map for each of them.

Two numbers are the released code's, not the paper's: mask logits count four times, and a mask is
laid on its box by bilinear sampling with zeros around it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from panoptic_deeplab.fusion.score_order import Occupancy, Window, by_score
from panoptic_deeplab.structures import VOID_ID, Segment, smallest_label_type

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
        """[H, W] the highest of all classes."""

    def highest(self, classes: Sequence[int]) -> np.ndarray:
        """[H, W] float32, the highest logit of some classes; a new array."""

    def of(self, category: int) -> np.ndarray:
        """[H, W] logits of one class."""


@dataclass(frozen=True)
class Instances:
    """What the two heads for instances say of an image.

    Attributes:
        boxes: [K, 4] (x0, y0, x1, y1) in pixels of the result.
        scores: [K].
        classes: [K] class indices of things.
        masks: [K, h, w] logits on each box.
    """

    boxes: np.ndarray
    scores: np.ndarray
    classes: np.ndarray
    masks: np.ndarray

    def only(self, chosen: np.ndarray) -> Instances:
        """Those at some indices, in that order."""
        return Instances(
            self.boxes[chosen], self.scores[chosen], self.classes[chosen], self.masks[chosen]
        )


@dataclass(frozen=True)
class AdaptiveRule:
    """How instances and semantics are fused.

    Attributes:
        thing_ids: class indices of the things.
        min_stuff_area: a stuff class with fewer pixels (of no instance) becomes void.
        overlap_threshold: share of its mask that an instance may have lost to surer ones.
        mask_factor: what mask logits count.
        strict_reference: do as the released code does, which differs in five ways. Where every
            stuff logit is negative, the first instance wins far outside its box, its logit being 0
            there. Where all pixels are some instance's, the first one counts as background and the
            stuff takes its pixels. Masks reach half a cell beyond their boxes. The semantic logits
            of the first row and column of a box count as 0, and of the last ones where boxes end
            there. And a box thinner than a pixel is not made a pixel wide for its mask.
    """

    thing_ids: Sequence[int]
    min_stuff_area: int = 2048
    overlap_threshold: float = 0.5
    mask_factor: float = MASK_FACTOR
    strict_reference: bool = False


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

    Instances whose box or score is no finite number take no part; nor does a logit that is none.

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
    stuff_ids = np.setdiff1d(np.arange(maps.num_classes), list(rule.thing_ids))
    members = instances.only(_entrants(instances))
    contest = (_StrictContest if rule.strict_reference else _Contest)(maps.highest(stuff_ids))
    occupancy = Occupancy(maps.size, rule.overlap_threshold)
    place = _place_as_released if rule.strict_reference else _place
    for k, (box, category, mask) in enumerate(
        zip(members.boxes, members.classes, members.masks, strict=True)
    ):
        placed = place(mask, box, maps.of(category))
        if occupancy.claim(placed.mask > 0, placed.window) is not None:
            fused = adaptive_logits(rule.mask_factor * placed.mask, placed.semantic)
            contest.enter(k + 1, fused, placed.window)
    return _segmented(contest.owner, maps, members, rule, stuff_ids)


def adaptive_logits(mask: np.ndarray, semantic: np.ndarray) -> np.ndarray:
    """(sigmoid(mask) + sigmoid(semantic)) * (mask + semantic), the paper's fused logits."""
    with np.errstate(over="ignore", invalid="ignore"):
        return (1 / (1 + np.exp(-mask)) + 1 / (1 + np.exp(-semantic))) * (mask + semantic)


def paste(
    logits: np.ndarray, box: Sequence[float], window: Window, least: float = 1.0
) -> np.ndarray:
    """[H, W] float32: logits [h, w] laid on a box (x0, y0, x1, y1), in a window of the image."""
    rows, columns = (np.arange(part.start, part.stop) + 0.5 for part in window)
    return sample(logits, box, rows, columns, least)


def sample(
    logits: np.ndarray,
    box: Sequence[float],
    rows: np.ndarray,
    columns: np.ndarray,
    least: float = 1.0,
) -> np.ndarray:
    """[H, W] float32: logits [h, w] laid on a box, bilinear between their cells and zeros around.

    The cells share the box.

    Args:
        logits: [h, w].
        box: (x0, y0, x1, y1) in pixels, whose centres lie at half numbers.
        rows: [H] where the logits are wanted.
        columns: [W] likewise.
        least: pixels that a thinner box counts as.
    """
    x0, y0, x1, y1 = box
    of_rows = _cell_weights(y0, max(y1 - y0, least), rows, logits.shape[0])
    of_columns = _cell_weights(x0, max(x1 - x0, least), columns, logits.shape[1])
    return of_rows @ logits.astype(np.float32) @ of_columns.T


def touched_pixels(box: Sequence[float], size: tuple[int, int]) -> Window:
    """The pixels that a box (x0, y0, x1, y1) touches or ends at, inside the image."""
    x0, y0, x1, y1 = np.floor(box)
    return _clipped(y0, y1 + 1, size[0]), _clipped(x0, x1 + 1, size[1])


class DenseMaps:
    """Logits [C, H, W] that have the size of the result."""

    def __init__(self, logits: np.ndarray) -> None:
        self.logits = logits
        self.num_classes = len(logits)
        self.size: tuple[int, int] = logits.shape[1:]

    @property
    def labels(self) -> np.ndarray:
        """[H, W] the highest of all classes; what is no number is the lowest."""
        labels = np.zeros(self.size, smallest_label_type(self.num_classes))
        best = np.full(self.size, -np.inf, np.float32)
        with np.errstate(invalid="ignore"):
            for category, values in enumerate(self.logits):
                np.copyto(labels, category, where=values > best)
                np.fmax(best, values, out=best)
        return labels

    def highest(self, classes: Sequence[int]) -> np.ndarray:
        """[H, W] float32, the highest logit of some classes; a new array."""
        best = np.full(self.size, -np.inf, np.float32)
        for category in classes:
            np.fmax(best, self.logits[category], out=best)
        return best

    def of(self, category: int) -> np.ndarray:
        """[H, W] logits of one class."""
        return self.logits[category]


class _Placed(NamedTuple):
    """An instance where it competes: [h, w] logits of both heads in a window of the image."""

    window: Window
    mask: np.ndarray
    semantic: np.ndarray


def _place(mask: np.ndarray, box: np.ndarray, semantic: np.ndarray) -> _Placed:
    """On the pixels of its box."""
    window = touched_pixels(box, semantic.shape)
    return _Placed(window, paste(mask, box, window), semantic[window])


_THINNEST = 1e-6
"""Pixels that a box without a width has where others are taken as they are."""


def _place_as_released(mask: np.ndarray, box: np.ndarray, semantic: np.ndarray) -> _Placed:
    """On all pixels that the mask's bilinear sampling reaches."""
    (height, width), (x0, y0, x1, y1) = semantic.shape, (float(side) for side in box)
    cell_rows, cell_columns = mask.shape
    window = _reached(y0, y1, height, cell_rows), _reached(x0, x1, width, cell_columns)
    counted = np.zeros_like(semantic[window])
    rows, columns = (
        slice(max(int(start + 1), 0, part.start), min(int(round(end - 1) + 1), part.stop))
        for start, end, part in ((y0, y1, window[0]), (x0, x1, window[1]))
    )
    within = tuple(
        slice(inner.start - part.start, max(inner.stop - part.start, 0))
        for inner, part in zip((rows, columns), window, strict=True)
    )
    counted[within] = semantic[window][within]
    return _Placed(window, paste(mask, box, window, _THINNEST), counted)


def _reached(start: float, end: float, length: int, cells: int) -> slice:
    """The pixels less than a cell's length from the middle of a box's first or last cell."""
    rim = (end - start) / cells / 2
    return _clipped(np.floor(start - rim + 0.5), np.ceil(end + rim - 0.5), length)


def _clipped(start: float, stop: float, length: int) -> slice:
    return slice(int(np.clip(start, 0, length)), int(np.clip(stop, 0, length)))


def _cell_weights(start: float, length: float, places: np.ndarray, cells: int) -> np.ndarray:
    """[P, cells] float32, how much of each cell a place gets."""
    along = (places - start) * (cells / length) - 0.5
    return np.maximum(0, 1 - np.abs(along[:, None] - np.arange(cells))).astype(np.float32)


def _entrants(instances: Instances) -> np.ndarray:
    """The indices of those that can take part, the surest first."""
    boxes, order = instances.boxes, by_score(instances.scores)
    with np.errstate(invalid="ignore"):
        usable = (boxes[:, :2] <= boxes[:, 2:]).all(axis=1)
    usable &= np.isfinite(boxes).all(axis=1) & np.isfinite(instances.scores)
    usable &= np.isfinite(instances.masks).all(axis=(1, 2))
    return order[usable[order]]


class _Contest:
    """Who has the highest logit so far at each pixel: 0 the stuff, else the number of an instance.

    Args:
        best: [H, W] float32, the stuff's highest logit; taken over.
    """

    def __init__(self, best: np.ndarray) -> None:
        self.best = best
        self.owner = np.zeros(best.shape, np.int32)

    def enter(self, number: int, logits: np.ndarray, window: Window) -> None:
        """Gives an instance the pixels of its window where it is better than all before it."""
        with np.errstate(invalid="ignore"):
            wins = logits > self.best[window]
        self._give(number, wins, logits, window)

    def _give(
        self, number: int, wins: np.ndarray, logits: np.ndarray | float, window: Window
    ) -> None:
        np.copyto(self.best[window], logits, where=wins)
        np.copyto(self.owner[window], number, where=wins)


class _StrictContest(_Contest):
    """The same where each instance also has the logit 0 at all pixels outside its window.

    After an instance the best logit can be negative only in its window.
    """

    def __init__(self, best: np.ndarray) -> None:
        super().__init__(best)
        self.maybe_negative: Window = (slice(0, best.shape[0]), slice(0, best.shape[1]))

    def enter(self, number: int, logits: np.ndarray, window: Window) -> None:
        super().enter(number, logits, window)
        both = tuple(
            slice(max(a.start, b.start), max(min(a.stop, b.stop), a.start, b.start))
            for a, b in zip(self.maybe_negative, window, strict=True)
        )
        negative = self.best[self.maybe_negative] < 0
        negative[
            tuple(
                slice(inner.start - outer.start, inner.stop - outer.start)
                for inner, outer in zip(both, self.maybe_negative, strict=True)
            )
        ] = False
        self._give(number, negative, 0, self.maybe_negative)
        self.maybe_negative = both


def _segmented(
    owner: np.ndarray,
    maps: SemanticMaps,
    members: Instances,
    rule: AdaptiveRule,
    stuff_ids: np.ndarray,
) -> tuple[np.ndarray, list[Segment]]:
    """The map of the instances that have won pixels and of the stuff at the background's.

    Args:
        owner: [H, W] 0 for background, else 1..K.
        maps: for the stuff's class at the background's pixels.
        members: the K instances.
        rule: of the fusion.
        stuff_ids: class indices of the stuff.
    """
    background = int(owner.min()) if rule.strict_reference else 0
    classes, count = maps.num_classes, len(members.scores)
    slots = np.where(owner == background, maps.labels, classes + owner)
    counts = np.bincount(slots.ravel(), minlength=classes + count + 1)
    stuff = stuff_ids[(counts[stuff_ids] >= rule.min_stuff_area) & (counts[stuff_ids] > 0)]
    areas = counts[classes:]
    areas[background] = counts[:classes].sum() - counts[stuff].sum()
    winners = np.flatnonzero(areas[1:]) + 1
    ids = np.full(count + 1, VOID_ID, np.int32)
    ids[winners] = np.arange(1, len(winners) + 1)
    stuff_segment_ids = np.arange(len(winners) + 1, len(winners) + 1 + len(stuff))
    table = np.concatenate([np.full(classes, ids[background], np.int32), ids])
    table[stuff] = stuff_segment_ids
    segments = [
        Segment(
            int(ids[k]),
            int(members.classes[k - 1]),
            area=int(areas[k]),
            is_thing=True,
            score=float(members.scores[k - 1]),
        )
        for k in winners
    ] + [
        Segment(int(i), int(category), area=int(counts[category]), is_thing=False)
        for i, category in zip(stuff_segment_ids, stuff, strict=True)
    ]
    return table.take(slots), segments
