"""Average precision of the instances, as the Cityscapes benchmark defines it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from panoptic_deeplab.evaluation.overlaps import (
    Overlaps,
    categories_of,
    crowds_of,
    mean_of_known,
    measure_mask_overlaps,
    measure_overlaps,
)
from panoptic_deeplab.registry import EVALUATORS
from panoptic_deeplab.structures import DatasetInfo, Instance, PanopticMap, Prediction, Segment

OVERLAPS = np.arange(0.5, 1.0, 0.05)  # written as in the official tool: the same bits
MIN_AREA = 100
IGNORED, FALSE_POSITIVE, HIT = -1, 0, 1


@EVALUATORS.add_component
class InstanceAP:
    """AP and AP50 by the rules of cityscapesscripts' instance-level evaluation.

    Annotated instances under 100 pixels, crowds of the same class and void are ignored: finding
    them gains nothing, and a prediction mostly on them costs nothing.

    Args:
        info: the classes; its things are evaluated.
    """

    def __init__(self, info: DatasetInfo) -> None:
        self.info = info
        self._thing_ids = np.array(info.thing_ids, np.int64)
        self.reset()

    def reset(self) -> None:
        """Forget all images."""
        self._truth_counts = np.zeros(self.info.num_classes, np.int64)
        self._categories = [np.zeros(0, np.int64)]
        self._scores = [np.zeros(0)]
        self._outcomes = [np.zeros((0, len(OVERLAPS)), np.int8)]

    def update(self, prediction: Prediction, truth: PanopticMap) -> None:
        """Match the instances of one image, or else its segments; one without a score has score 1.

        Raises:
            DataError: prediction and annotation cannot be compared (sizes, ids, categories).
        """
        if prediction.instances is None:
            self._match(measure_overlaps(prediction, truth))
        else:
            self.update_masks(_masks(prediction.instances, prediction.ids.shape), truth)

    def update_masks(self, masks: Iterable[tuple[np.ndarray, Segment]], truth: PanopticMap) -> None:
        """Match predictions that may overlap each other, as in Cityscapes' instance files.

        Args:
            masks: pairs of an [H, W] mask and its segment (category and score are used).
            truth: the annotation.

        Raises:
            DataError: a mask has another size than the annotation, or an unknown category.
        """
        self._match(measure_mask_overlaps(masks, truth))

    def state(self) -> dict[str, np.ndarray]:
        """Return the counts.

        `truth_counts` [C], annotated instances to find, are added up. `categories` [N], `scores`
        [N] and `outcomes` [N, 10] (per overlap 1 hit, 0 false positive, -1 ignored) of the
        predictions are concatenated.
        """
        return {
            "truth_counts": self._truth_counts.copy(),
            "categories": np.concatenate(self._categories),
            "scores": np.concatenate(self._scores),
            "outcomes": np.concatenate(self._outcomes),
        }

    def merge(self, state: Mapping[str, np.ndarray]) -> None:
        """Add the counts of another process, on other images."""
        self._truth_counts += state["truth_counts"]
        self._categories.append(state["categories"])
        self._scores.append(state["scores"])
        self._outcomes.append(state["outcomes"])

    def compute(self) -> dict[str, Any]:
        """Compute the scores of all images so far, 0..1.

        Returns:
            `ap`, the mean over the overlaps .5:.05:.95 and the classes that have instances to find;
            `ap50`, at overlap .5 alone; `per_class`: both by class name, NaN for a class without
            instances. NaN where no class has any.
        """
        state = self.state()
        precisions = np.full((self.info.num_classes, len(OVERLAPS)), np.nan)
        for category in np.flatnonzero(self._truth_counts):
            chosen = state["categories"] == category
            precisions[category] = [
                average_precision(state["scores"][chosen], outcomes, self._truth_counts[category])
                for outcomes in state["outcomes"][chosen].T
            ]
        return {
            "ap": mean_of_known(precisions.mean(axis=1)),
            "ap50": mean_of_known(precisions[:, 0]),
            "per_class": {
                self.info.categories[category].name: {
                    "ap": float(precisions[category].mean()),
                    "ap50": float(precisions[category, 0]),
                }
                for category in self.info.thing_ids
            },
        }

    def _match(self, overlaps: Overlaps) -> None:
        categories = categories_of(overlaps.prediction, self.info.num_classes)
        truth_categories = categories_of(overlaps.truth, self.info.num_classes)
        crowd = crowds_of(overlaps.truth)
        small = overlaps.truth_areas < MIN_AREA
        scores = np.array(
            [1.0 if segment.score is None else segment.score for segment in overlaps.prediction]
        )

        to_find = ~crowd & ~small & np.isin(truth_categories, self._thing_ids)
        same_class = truth_categories[:, np.newaxis] == categories
        self._truth_counts += np.bincount(
            truth_categories[to_find], minlength=self.info.num_classes
        )
        self._categories.append(categories)
        self._scores.append(scores)
        self._outcomes.append(
            judge_predictions(
                overlaps,
                scores,
                same_class,
                to_find,
                ignored_fractions(overlaps, same_class, crowd),
            )
        )


def _masks(
    instances: Iterable[Instance], size: tuple[int, int]
) -> Iterator[tuple[np.ndarray, Segment]]:
    """Yield the masks of instances in an image of (height, width), one at a time."""
    for number, one in enumerate(instances, 1):
        yield one.in_image(size), Segment(number, one.category, is_thing=True, score=one.score)


def ignored_fractions(overlaps: Overlaps, same_class: np.ndarray, crowd: np.ndarray) -> np.ndarray:
    """[P] how much of each prediction lies on void, and on crowds and small instances of its class.

    A crowd that is small counts twice, as in the official tool.
    """
    times = crowd.astype(np.int64) + (overlaps.truth_areas < MIN_AREA)
    ignored = overlaps.on_void + (overlaps.shared * same_class * times[:, np.newaxis]).sum(axis=0)
    return ignored / overlaps.prediction_areas


def judge_predictions(
    overlaps: Overlaps,
    scores: np.ndarray,
    same_class: np.ndarray,
    to_find: np.ndarray,
    ignored: np.ndarray,
) -> np.ndarray:
    """Judge whether each prediction is a hit, a false positive or ignored, at each overlap.

    Annotated instances do not overlap, so a prediction has an IoU above .5 with one of them at
    most. Of several predictions on one instance the highest-scoring one is the hit.

    Args:
        overlaps: the shared pixels of G annotated and P predicted segments.
        scores: [P].
        same_class: [G, P] whether two segments may match.
        to_find: [G] whether finding this segment is a hit; others are ignored.
        ignored: [P] the fraction of each prediction that lies where nothing counts.

    Returns:
        [P, 10] int8 of HIT, FALSE_POSITIVE, IGNORED.
    """
    if not len(overlaps.truth):
        return np.where(ignored[:, np.newaxis] > OVERLAPS, IGNORED, FALSE_POSITIVE).astype(np.int8)
    iou = overlaps.shared / overlaps.unions * same_class
    partner = iou.argmax(axis=0)  # [P]
    best_iou = iou.max(axis=0)
    best_first = np.argsort(-scores, kind="stable")

    matched = best_iou[:, np.newaxis] > OVERLAPS
    ignored_at = np.where(
        matched, ~to_find[partner][:, np.newaxis], ignored[:, np.newaxis] > OVERLAPS
    )
    outcomes = np.where(ignored_at, IGNORED, FALSE_POSITIVE).astype(np.int8)
    for index in range(len(OVERLAPS)):
        finders = best_first[(matched[:, index] & to_find[partner])[best_first]]
        _, first = np.unique(partner[finders], return_index=True)
        outcomes[finders[first], index] = HIT
    return outcomes


def average_precision(scores: np.ndarray, outcomes: np.ndarray, truth_count: int) -> float:
    """Compute the area under the precision-recall curve, from recall 0, precision 1, by trapezoids.

    Args:
        scores: [N] of the predictions of one class.
        outcomes: [N] HIT, FALSE_POSITIVE or IGNORED.
        truth_count: instances to find, at least 1.
    """
    counted = outcomes != IGNORED
    scores, hits = scores[counted], outcomes[counted] == HIT
    best_first = np.argsort(-scores, kind="stable")
    scores, found = scores[best_first], np.cumsum(hits[best_first])
    # Predictions of one score are taken or left together: a point where the next score is lower.
    last = np.flatnonzero(np.append(scores[1:] != scores[:-1], True)[: len(scores)])
    precision = np.append(1.0, found[last] / (last + 1))
    recall = np.append(0.0, found[last] / truth_count)
    return float(np.sum(np.diff(recall) * (precision[1:] + precision[:-1]) / 2))
