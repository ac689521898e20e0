"""Panoptic FPN's fusion: instances by their scores, and stuff where none is.

https://arxiv.org/abs/1901.02446, section 3, as mmdetection and detectron2 have it; on what a pixel
gets both agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from panoptic_deeplab.fusion.instances import Instances
from panoptic_deeplab.fusion.pasting import THINNEST, Window, paste, touched_pixels
from panoptic_deeplab.fusion.score_order import Occupancy
from panoptic_deeplab.structures import VOID_ID, Segment


@dataclass(frozen=True)
class HeuristicRule:
    """How instances and semantics are fused.

    Attributes:
        stuff_ids: class indices of the stuff.
        min_stuff_area: a stuff class with fewer pixels (of no instance) becomes void.
        overlap_threshold: fraction of its mask that an instance may have lost to higher-scoring
            ones.
    """

    stuff_ids: Sequence[int]
    min_stuff_area: int
    overlap_threshold: float


def heuristic_fusion(
    channels: np.ndarray, instances: Instances, rule: HeuristicRule
) -> tuple[np.ndarray, list[Segment]]:
    """The panoptic map of one image.

    A mask covers the pixels where its probability, pasted on its box, is at least one half.
    Instances whose numbers are not finite take no part.

    Args:
        channels: [H, W] what is likeliest by the semantic head alone: a place in `rule.stuff_ids`,
            or the number of these, which stands for all things.
        instances: with boxes in pixels of the result.
        rule: of the fusion.

    Returns:
        [H, W] int32 ids, 0 for void; the segments in the order of their ids: instances by their
        score, which is the segment's too, then stuff by its class, without a score.
    """
    ids = np.full(channels.shape, VOID_ID, np.int32)
    occupancy = Occupancy(channels.shape, rule.overlap_threshold)
    segments: list[Segment] = []
    members = instances.only(instances.usable())
    for box, score, category, mask in zip(
        members.boxes, members.scores, members.classes, members.masks, strict=True
    ):
        window = touched_pixels(box, channels.shape)
        free = occupancy.claim(pasted_mask(mask, box, window), window)
        if free is not None and free.any():
            number = len(segments) + 1
            ids[window][free] = number
            area = int(np.count_nonzero(free))
            segments.append(
                Segment(number, int(category), area=area, is_thing=True, score=float(score))
            )
    return _with_stuff(ids, segments, channels, rule)


def pasted_mask(logits: np.ndarray, box: Sequence[float], window: Window) -> np.ndarray:
    """[h, w] bool, the pixels of a mask [m, m] on its box, in a window of the image."""
    with np.errstate(over="ignore"):
        probabilities = 1 / (1 + np.exp(-logits))
    return paste(probabilities, box, window, THINNEST) >= 0.5


def _with_stuff(
    ids: np.ndarray, segments: Sequence[Segment], channels: np.ndarray, rule: HeuristicRule
) -> tuple[np.ndarray, list[Segment]]:
    """Add the stuff on the pixels of no instance."""
    stuff_ids = np.asarray(rule.stuff_ids)
    is_free = ids == VOID_ID
    counts = np.bincount(channels[is_free], minlength=len(stuff_ids) + 1)[: len(stuff_ids)]
    kept = np.flatnonzero(counts >= max(rule.min_stuff_area, 1))
    numbers = len(segments) + 1 + np.arange(len(kept))
    table = np.full(len(stuff_ids) + 1, VOID_ID, np.int32)
    table[kept] = numbers
    stuff = [
        Segment(int(number), int(stuff_ids[i]), area=int(counts[i]), is_thing=False)
        for number, i in zip(numbers, kept, strict=True)
    ]
    return np.where(is_free, table.take(channels), ids), [*segments, *stuff]
