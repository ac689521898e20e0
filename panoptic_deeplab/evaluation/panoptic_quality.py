"""Panoptic quality (Kirillov et al., "Panoptic Segmentation", CVPR 2019)."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np

from panoptic_deeplab.errors import DataError
from panoptic_deeplab.evaluation.overlaps import (
    Overlaps,
    categories_of,
    crowds_of,
    mean_of_known,
    measure_overlaps,
    ratio,
)
from panoptic_deeplab.notices import warn_once
from panoptic_deeplab.registry import EVALUATORS
from panoptic_deeplab.structures import DatasetInfo, PanopticMap, Prediction

_log = logging.getLogger(__name__)

MATCHING_IOU = 0.5
IGNORED_FRACTION = 0.5


@EVALUATORS.add_component
class PanopticQuality:
    """PQ, SQ and RQ by the rules of panopticapi, which are cityscapesscripts' too.

    Args:
        info: the classes.
    """

    def __init__(self, info: DatasetInfo) -> None:
        self.info = info
        self.reset()

    def reset(self) -> None:
        """Forget all images."""
        num_classes = self.info.num_classes
        self._iou = np.zeros(num_classes)
        self._tp, self._fp, self._fn = (np.zeros(num_classes, np.int64) for _ in range(3))

    def update(self, prediction: Prediction, truth: PanopticMap) -> None:
        """Count the matches of one image.

        Raises:
            DataError: prediction and annotation cannot be compared (sizes, ids, categories, areas).
        """
        overlaps = measure_overlaps(prediction, truth)
        truth_categories = categories_of(overlaps.truth, self.info.num_classes)
        predicted_categories = categories_of(overlaps.prediction, self.info.num_classes)
        crowd = crowds_of(overlaps.truth)

        comparable = truth_categories[:, np.newaxis] == predicted_categories
        comparable &= ~crowd[:, np.newaxis] & (overlaps.shared > 0)
        iou = intersections_over_unions(overlaps, comparable)
        matches = iou > MATCHING_IOU  # [G, P]
        missed = ~crowd & ~matches.any(axis=1)
        wrong = ~matches.any(axis=0) & ~mostly_ignored(overlaps)

        matched_categories = truth_categories[np.nonzero(matches)[0]]
        self._iou += self._per_class(matched_categories, iou[matches])
        self._tp += self._per_class(matched_categories)
        self._fn += self._per_class(truth_categories[missed])
        self._fp += self._per_class(predicted_categories[wrong])

    def state(self) -> dict[str, np.ndarray]:
        """Return the counts, [C] each, to add up: the sum of matched IoUs, and tp, fp, fn."""
        return {
            "iou": self._iou.copy(),
            "tp": self._tp.copy(),
            "fp": self._fp.copy(),
            "fn": self._fn.copy(),
        }

    def merge(self, state: Mapping[str, np.ndarray]) -> None:
        """Add the counts of another process, on other images."""
        self._iou += state["iou"]
        self._tp += state["tp"]
        self._fp += state["fp"]
        self._fn += state["fn"]

    def compute(self) -> dict[str, Any]:
        """Compute the scores of all images so far, 0..1.

        Returns:
            `All`, `Things`, `Stuff`: dicts of `pq`, `sq`, `rq`, the means over the `n` classes that
            were annotated or predicted (NaN where n is 0); `per_class`: by class name `pq`, `sq`,
            `rq` (NaN for a class that never occurred) and `tp`, `fp`, `fn`.

        Raises:
            DataError: a mean of IoUs is above 1, so that annotated areas must be wrong.
        """
        self._refuse_impossible()
        mistakes = 0.5 * self._fp + 0.5 * self._fn
        occurred = self._tp + mistakes > 0
        values = {
            "pq": ratio(self._iou, self._tp + mistakes),
            # A class never found has SQ 0, which enters the mean as in the official tools.
            "sq": np.where(occurred, self._iou / np.maximum(self._tp, 1), np.nan),
            "rq": ratio(self._tp, self._tp + mistakes),
        }
        groups = {
            "All": list(range(self.info.num_classes)),
            "Things": list(self.info.thing_ids),
            "Stuff": list(self.info.stuff_ids),
        }
        results: dict[str, Any] = {
            group: {key: mean_of_known(value[classes]) for key, value in values.items()}
            | {"n": int(occurred[classes].sum())}
            for group, classes in groups.items()
        }
        counts = {"tp": self._tp, "fp": self._fp, "fn": self._fn}
        results["per_class"] = {
            category.name: {key: float(value[index]) for key, value in values.items()}
            | {key: int(count[index]) for key, count in counts.items()}
            for index, category in enumerate(self.info.categories)
        }
        return results

    def _refuse_impossible(self) -> None:
        """Refuse areas by which a class scores more than 1.

        Short of that wrong areas count as they do officially: a score that can be true is compared
        with other people's.
        """
        for index in np.flatnonzero(self._iou > self._tp):
            raise DataError(
                f"class {self.info.categories[index].name}: the mean IoU of its segments is "
                f"{self._iou[index] / self._tp[index]:.4g}, above 1: the annotation gives segments "
                "an area smaller than their pixels; write the number of pixels as area, or leave "
                "area out of all segments, and the pixels are counted",
                kind="wrong area",
            )

    def _per_class(self, categories: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
        return np.bincount(categories, weights, self.info.num_classes)


def intersections_over_unions(overlaps: Overlaps, comparable: np.ndarray) -> np.ndarray:
    """[G, P] IoU of the comparable pairs, 0 elsewhere.

    Annotated areas are those of the annotation, where it has some, of which a warning is given once
    if they are not its pixels; predicted ones are counted in the map, and predicted pixels on void
    belong to no union.
    """
    annotated_areas = np.array(
        [
            counted if segment.area is None else segment.area
            for segment, counted in zip(overlaps.truth, overlaps.truth_areas, strict=True)
        ],
        np.float64,
    )
    _warn_of_areas(overlaps, annotated_areas)
    unions = annotated_areas[:, np.newaxis] + overlaps.prediction_areas - overlaps.on_void
    unions = unions - overlaps.shared
    impossible = np.argwhere(comparable & (unions <= 0))
    if impossible.size:
        segment = overlaps.truth[impossible[0, 0]]
        raise DataError(
            f"annotated segment {segment.id} has area {segment.area:g} but covers pixels of the "
            "map; PQ goes by the annotated area, so write it into the annotation"
        )
    return np.divide(overlaps.shared, unions, out=np.zeros(unions.shape), where=comparable)


def _warn_of_areas(overlaps: Overlaps, annotated_areas: np.ndarray) -> None:
    counted = overlaps.truth_areas
    wrong = np.flatnonzero((counted > 0) & (np.abs(annotated_areas - counted) >= 1))
    if wrong.size:
        segment, pixels = overlaps.truth[wrong[0]], counted[wrong[0]]
        warn_once(
            _log,
            "wrong area",
            "annotated segment %d has area %g, but %d pixels; PQ goes by the annotated areas, as "
            "officially: write the pixels, or leave area out of all segments (given once)",
            segment.id,
            segment.area,
            pixels,
        )


def mostly_ignored(overlaps: Overlaps) -> np.ndarray:
    """[P] whether more than half of a predicted segment lies on void and its class's crowd.

    Of several crowd segments of a class only the last one listed counts, as in panopticapi.
    """
    crowd_of_category = {
        segment.category: row for row, segment in enumerate(overlaps.truth) if segment.iscrowd
    }
    ignored = overlaps.on_void.copy()
    for column, segment in enumerate(overlaps.prediction):
        if segment.category in crowd_of_category:
            ignored[column] += overlaps.shared[crowd_of_category[segment.category], column]
    return ignored / overlaps.prediction_areas > IGNORED_FRACTION
