"""Mean intersection over union of the classes, without instances."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from panoptic_deeplab.evaluation.overlaps import (
    NO_CATEGORY,
    categories_of,
    find_predicted,
    find_segments,
    joint_runs,
    mean_of_known,
    ratio,
    unique_segments,
)
from panoptic_deeplab.registry import EVALUATORS
from panoptic_deeplab.structures import DatasetInfo, PanopticMap, Prediction, Segment


@EVALUATORS.add_component
class SemanticIoU:
    """mIoU by the rules of cityscapesscripts' pixel-level evaluation.

    Pixels whose annotation is void do not count; crowds count as their class. The prediction is
    the semantic branch's (`Prediction.labels`), or the classes of the panoptic segments for a
    method without such a branch. No class, predicted on a valid pixel, is a false negative of the
    true class and no class's false positive.

    Args:
        info: the classes.
    """

    def __init__(self, info: DatasetInfo) -> None:
        self.info = info
        self.reset()

    def reset(self) -> None:
        """Forget all images."""
        num_classes = self.info.num_classes
        self._confusion = np.zeros((num_classes, num_classes + 1), np.int64)

    def update(self, prediction: Prediction, truth: PanopticMap) -> None:
        """Count the pixels of one image.

        Raises:
            DataError: prediction and annotation cannot be compared (sizes, ids, categories).
        """
        fused = prediction.labels is None
        predicted_map = prediction.ids if fused else prediction.labels
        truth_ids, predicted, lengths = joint_runs(truth.ids, predicted_map)
        annotated = unique_segments(truth.segments)
        truth_categories = self._categories(find_segments(truth_ids, annotated), annotated)
        if fused:
            segments = unique_segments(prediction.segments)
            predicted = self._categories(find_predicted(predicted, segments), segments)
        self._count(truth_categories, predicted, lengths)

    def state(self) -> dict[str, np.ndarray]:
        """Return the counts: `confusion` [C, C + 1], true by predicted, last column for none."""
        return {"confusion": self._confusion.copy()}

    def merge(self, state: Mapping[str, np.ndarray]) -> None:
        """Add the counts of another process, on other images."""
        self._confusion += state["confusion"]

    def compute(self) -> dict[str, Any]:
        """Compute the scores of all images so far, 0..1.

        Returns:
            `miou`, the mean over the classes that were annotated or predicted; `fwiou`, weighted by
            the annotated pixels of each class; `pixel_accuracy`; `per_class`: IoU by class name,
            NaN for a class neither annotated nor predicted.
        """
        correct = np.diagonal(self._confusion)
        annotated = self._confusion.sum(axis=1)
        predicted = self._confusion[:, :-1].sum(axis=0)
        iou = ratio(correct, annotated + predicted - correct)
        pixels = annotated.sum()
        weighted = np.nansum(annotated * iou)
        return {
            "miou": mean_of_known(iou),
            "fwiou": float(ratio(weighted, pixels)),
            "pixel_accuracy": float(ratio(correct.sum(), pixels)),
            "per_class": {
                category.name: float(value)
                for category, value in zip(self.info.categories, iou, strict=True)
            },
        }

    def _categories(self, positions: np.ndarray, segments: Sequence[Segment]) -> np.ndarray:
        """Class index of each run from its segment's position, where -1 is none."""
        categories = categories_of(segments, self.info.num_classes)
        return np.append(categories, NO_CATEGORY)[positions]

    def _count(self, truth: np.ndarray, predicted: np.ndarray, lengths: np.ndarray) -> None:
        num_classes = self.info.num_classes
        valid = truth != NO_CATEGORY
        truth, predicted, lengths = truth[valid], predicted[valid], lengths[valid]
        known = (predicted >= 0) & (predicted < num_classes)
        columns = np.where(known, predicted, num_classes).astype(np.int64)
        counts = np.bincount(truth * (num_classes + 1) + columns, lengths, self._confusion.size)
        self._confusion += counts.astype(np.int64).reshape(self._confusion.shape)
