"""The mistakes of a panoptic prediction, sorted into kinds by overlaps alone.

Areas are in pixels; predicted pixels where the annotation is void count in no area. IoU is that of
panoptic quality, of segments of any classes. A segment is *found* if a predicted one of its class
has an IoU above 0.5 with it. Every annotated segment that is not found has exactly one kind, the
first that applies:

- `wrong class`: a predicted segment of another class has an IoU above 0.5 with it;
- `merged` (things): a predicted thing holds more than half of it, and more than half of another
  annotated thing too;
- `split` (things): two or more predicted things lie in it with more than half of their pixels, and
  together hold more than half of it;
- `bad mask`: a predicted segment of its class has an IoU with it above 0.1, at most 0.5;
- `missed`: none of these.

Predicted segments that are not matched, not mostly on void or crowd of their class, and did not
cause a mistake above are `false`: an instance where there is none (or a piece cut off one
that is found all the same), or stuff where there is none.

The thresholds 0.5 and 0.1 are those of TIDE (Bolya et al., ECCV 2020). So `wrong class` + `merged`
+ `split` + `bad mask` + `missed` is PQ's number of false negatives; `false` are those of its false
positives that are not the cause of another mistake.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from panoptic_deeplab.evaluation.overlaps import Overlaps, categories_of, measure_overlaps
from panoptic_deeplab.evaluation.panoptic_quality import (
    MATCHING_IOU,
    intersections_over_unions,
    mostly_ignored,
)
from panoptic_deeplab.structures import DatasetInfo, PanopticMap, Prediction

TOUCHING_IOU = 0.1
MAJORITY = 0.5

KINDS = ("missed", "merged", "split", "wrong class", "bad mask", "false")
THINGS_ONLY = ("merged", "split")


@dataclass(frozen=True)
class Mistakes:
    """The mistakes of one image's prediction.

    Attributes:
        of_truth: for each annotated segment that is no crowd its class, and its kind or '' if it
            is found.
        false: classes of the predicted segments that are `false`.
        quality: 0..1, PQ of the image with all classes pooled; 1 where nothing is annotated and
            nothing predicted.
    """

    of_truth: list[tuple[int, str]]
    false: list[int]
    quality: float

    def by_kind(self) -> dict[str, int]:
        """The number of each kind that occurs."""
        counts = Counter(kind for _, kind in self.of_truth if kind)
        counts["false"] += len(self.false)
        return {kind: counts[kind] for kind in KINDS if counts[kind]}


def find_mistakes(prediction: Prediction, truth: PanopticMap, info: DatasetInfo) -> Mistakes:
    """Find the mistakes of one image.

    Raises:
        DataError: prediction and annotation cannot be compared (sizes, ids, categories, areas).
    """
    image = _ImageMistakes(measure_overlaps(prediction, truth), info)
    kinds = [image.kind(row) for row in range(len(image.truth_classes))]
    kept = [row for row, is_crowd in enumerate(image.crowd) if not is_crowd]
    false = ~image.matches.any(axis=0) & ~image.ignored & ~image.is_cause
    return Mistakes(
        [(int(image.truth_classes[row]), kinds[row]) for row in kept],
        image.predicted_classes[false].tolist(),
        image.quality(),
    )


class _ImageMistakes:
    """The overlaps of one image, and which predictions have caused a mistake so far."""

    def __init__(self, overlaps: Overlaps, info: DatasetInfo) -> None:
        self.truth_classes = categories_of(overlaps.truth, info.num_classes)
        self.predicted_classes = categories_of(overlaps.prediction, info.num_classes)
        self.crowd = np.array([segment.iscrowd for segment in overlaps.truth], bool)
        self.ignored = mostly_ignored(overlaps)

        comparable = ~self.crowd[:, np.newaxis] & (overlaps.shared > 0)
        self.iou = intersections_over_unions(overlaps, comparable)  # [G, P]
        self.same_class = self.truth_classes[:, np.newaxis] == self.predicted_classes
        self.matches = self.same_class & (self.iou > MATCHING_IOU)
        self.is_cause = np.zeros(len(self.predicted_classes), bool)

        is_thing = np.isin(np.arange(info.num_classes), info.thing_ids)
        self.is_thing = is_thing[self.truth_classes]
        things = is_thing[self.predicted_classes]
        pairs = comparable & things & self.is_thing[:, np.newaxis]
        counted = overlaps.prediction_areas - overlaps.on_void
        self.shared = overlaps.shared
        self.truth_areas = overlaps.truth_areas
        self.holds_majority = pairs & (overlaps.shared > MAJORITY * self.truth_areas[:, np.newaxis])
        self.lies_inside = pairs & (overlaps.shared > MAJORITY * counted)

    def kind(self, row: int) -> str:
        """The kind of an annotated segment, '' for one that is found, or a crowd."""
        if self.crowd[row] or self.matches[row].any():
            return ""
        for name, causes in (
            ("wrong class", self._other_classes(row)),
            ("merged", self._mergers(row)),
            ("split", self._pieces(row)),
            ("bad mask", self._bad_masks(row)),
        ):
            if causes.any():
                self.is_cause |= causes
                return name
        return "missed"

    def quality(self) -> float:
        """As `Mistakes.quality`."""
        missed = (~self.crowd & ~self.matches.any(axis=1)).sum()
        wrong = (~self.matches.any(axis=0) & ~self.ignored).sum()
        weight = self.matches.sum() + 0.5 * (missed + wrong)
        return float(self.iou[self.matches].sum() / weight) if weight else 1.0

    def _other_classes(self, row: int) -> np.ndarray:
        """[P] bool: predictions of another class that match it."""
        return ~self.same_class[row] & (self.iou[row] > MATCHING_IOU)

    def _mergers(self, row: int) -> np.ndarray:
        """[P] bool: predictions that hold most of it and most of another segment."""
        return self.holds_majority[row] & (self.holds_majority.sum(axis=0) > 1)

    def _pieces(self, row: int) -> np.ndarray:
        """[P] bool: the predictions it is split into; none if fewer than two."""
        pieces = self.lies_inside[row]
        enough = self.shared[row, pieces].sum() > MAJORITY * self.truth_areas[row]
        return pieces if pieces.sum() > 1 and enough else np.zeros_like(pieces)

    def _bad_masks(self, row: int) -> np.ndarray:
        """[P] bool: predictions of its class that overlap it somewhat."""
        return self.same_class[row] & (self.iou[row] > TOUCHING_IOU)


class ErrorCounts:
    """Counts of the kinds over all images, by class.

    Args:
        info: the classes.
    """

    def __init__(self, info: DatasetInfo) -> None:
        self.info = info
        self.kinds = {kind: np.zeros(info.num_classes, np.int64) for kind in KINDS}
        self.annotated = np.zeros(info.num_classes, np.int64)

    def add(self, mistakes: Mistakes) -> None:
        """Count one image."""
        for category, kind in mistakes.of_truth:
            self.annotated[category] += 1
            if kind:
                self.kinds[kind][category] += 1
        for category in mistakes.false:
            self.kinds["false"][category] += 1

    def compute(self) -> dict[str, dict[str, dict[str, int]]]:
        """`Things` and `Stuff`, and under `per_class` each class by its name.

        Each is a dict of `annotated` (number of segments) and the kinds; stuff lacks the kinds that
        exist for things only.
        """
        groups = {"Things": list(self.info.thing_ids), "Stuff": list(self.info.stuff_ids)}
        per_class = {
            category.name: self._sums([index], category.is_thing)
            for index, category in enumerate(self.info.categories)
        }
        return {name: self._sums(classes, name == "Things") for name, classes in groups.items()} | {
            "per_class": per_class
        }

    def _sums(self, classes: list[int], are_things: bool) -> dict[str, int]:
        kinds = [kind for kind in KINDS if are_things or kind not in THINGS_ONLY]
        return {"annotated": int(self.annotated[classes].sum())} | {
            kind: int(self.kinds[kind][classes].sum()) for kind in kinds
        }
