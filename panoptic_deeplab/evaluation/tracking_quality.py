"""Segmentation and tracking quality (Weber et al., "STEP", https://arxiv.org/abs/2102.11859)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from panoptic_deeplab.evaluation.label_pairs import (
    LabelMaps,
    LabelPairs,
    Labels,
    classes_of,
    ids_of,
    pairs_of_maps,
    pairs_of_segments,
    refuse_shared,
    sequence_of,
)
from panoptic_deeplab.evaluation.overlaps import mean_of_known, ratio
from panoptic_deeplab.registry import EVALUATORS
from panoptic_deeplab.structures import PanopticMap, Prediction

VOID = "void"


class _Association(NamedTuple):
    """How well the tubes of a sequence are followed.

    Attributes:
        total: the sum of each annotated tube's quality, 0..1 each.
        tubes, predicted_tubes: how many there are.
    """

    total: float
    tubes: int
    predicted_tubes: int

    @property
    def quality(self) -> float:
        """AQ, 0 where nothing is annotated."""
        return self.total / self.tubes if self.tubes else 0.0


@EVALUATORS.add_component
class SegmentationTrackingQuality:
    """STQ, AQ and IoU by the rules of deeplab2 (`segmentation_and_tracking_quality.py`).

    A tube is all pixels of one class and id in a sequence. Of things, the annotated id 0 is a
    crowd, where predictions do not count for AQ; the predicted id 0 is a tube as others are. AQ
    asks for the id alone, IoU for the class alone. Predicted void on valid pixels is one more
    class, with IoU 0.

    Args:
        info: the classes; a `DatasetInfo`, or a `LabelSpace` where there are but numbers.
    """

    def __init__(self, info: Labels) -> None:
        self.info = info
        void_is_a_class = info.ignore_index < info.num_classes
        self._void = info.ignore_index if void_is_a_class else info.num_classes
        self._matrix_size = info.num_classes + (not void_is_a_class)
        self.reset()

    def reset(self) -> None:
        """Forget all sequences."""
        self._pairs: dict[str, LabelPairs] = {}
        self._frames: dict[str, int] = {}

    def update(self, prediction: Prediction, truth: PanopticMap) -> None:
        """Count a frame of `truth.sequence`; the id of a thing is its `track_id`, else its id.

        Raises:
            DataError: the annotation names no sequence, or the two cannot be compared.
        """
        self._add(sequence_of(truth), pairs_of_segments(prediction, truth, self.info))

    def update_maps(
        self,
        prediction: LabelMaps,
        truth: LabelMaps,
        sequence: str,
        weights: np.ndarray | None = None,
    ) -> None:
        """Count a frame from label maps.

        Args:
            prediction, truth: (classes, ids), [H, W] whole numbers each.
            sequence: the sequence's name.
            weights: [H, W] what each pixel counts; None for 1.

        Raises:
            DataError: the maps differ in size, or a class or an id is out of range.
        """
        self._add(sequence, pairs_of_maps(prediction, truth, self.info, weights))

    def _add(self, sequence: str, frame: LabelPairs) -> None:
        before = self._pairs.get(sequence)
        self._pairs[sequence] = frame if before is None else LabelPairs.sum([before, frame])
        self._frames[sequence] = self._frames.get(sequence, 0) + 1

    def state(self) -> dict[str, np.ndarray]:
        """Return the counts: `sequences` and `frames` [S]; and of each of the N pairs of labels
        `pairs` [S] (how many a sequence has), `truth`, `prediction` and `pixels` [N]."""
        counted = list(self._pairs.values())
        return {
            "sequences": np.array(list(self._pairs), str),
            "frames": np.array(list(self._frames.values()), np.int64),
            "pairs": np.array([pairs.pixels.size for pairs in counted], np.int64),
            "truth": np.concatenate([np.zeros(0, np.int64), *(p.truth for p in counted)]),
            "prediction": np.concatenate([np.zeros(0, np.int64), *(p.prediction for p in counted)]),
            "pixels": np.concatenate([np.zeros(0), *(p.pixels for p in counted)]),
        }

    def merge(self, state: Mapping[str, np.ndarray]) -> None:
        """Add the counts of another process, on other sequences.

        Raises:
            DataError: both have counted frames of one sequence.
        """
        names = state["sequences"].tolist()
        refuse_shared(self._pairs, names)
        ends = np.cumsum(state["pairs"])[:-1]
        parts = [np.split(state[key], ends) for key in ("truth", "prediction", "pixels")]
        for name, frames, *pairs in zip(names, state["frames"].tolist(), *parts, strict=False):
            self._pairs[name], self._frames[name] = LabelPairs(*pairs), frames

    def compute(self) -> dict[str, Any]:
        """Compute the scores of all sequences so far, 0..1.

        Returns:
            `stq`, `aq`, `iou`, `tubes` and `predicted_tubes` of all; `iou_per_class`: by class
            name, and `void` (0 where predicted on valid pixels), NaN for what never occurred;
            `per_sequence`: by name `frames` and what is said of all. IoU and STQ are NaN where all
            is void, AQ is 0 where no thing is annotated.
        """
        confusions = {name: self._confusion(pairs) for name, pairs in self._pairs.items()}
        associations = {name: self._association(pairs) for name, pairs in self._pairs.items()}
        empty = np.zeros((self._matrix_size, self._matrix_size))
        confusion = sum(confusions.values(), empty)
        sums = map(sum, zip(*associations.values(), strict=True))
        whole = _Association(*sums) if associations else _Association(0.0, 0, 0)
        return self._scores(confusion, whole) | {
            "iou_per_class": self._iou_per_class(confusion),
            "per_sequence": {
                name: {"frames": self._frames[name]}
                | self._scores(confusions[name], associations[name])
                for name in self._pairs
            },
        }

    def _scores(self, confusion: np.ndarray, association: _Association) -> dict[str, Any]:
        iou, aq = mean_of_known(_ious(confusion)), association.quality
        return {
            "stq": float(np.sqrt(aq * iou)),
            "aq": aq,
            "iou": iou,
            "tubes": association.tubes,
            "predicted_tubes": association.predicted_tubes,
        }

    def _iou_per_class(self, confusion: np.ndarray) -> dict[str, float]:
        values = _ious(confusion).tolist()
        per_class = {name: values[i] for name, i in self.info.index_of_name.items()}
        return per_class if self._void < self.info.num_classes else per_class | {VOID: values[-1]}

    def _confusion(self, pairs: LabelPairs) -> np.ndarray:
        """[C, C] pixels of each annotated class predicted as each; void has a row of zeros."""
        truth, predicted = (self._matrix_index(x) for x in (pairs.truth, pairs.prediction))
        cells = truth * self._matrix_size + predicted
        counts = np.bincount(cells, pairs.pixels * (truth != self._void), self._matrix_size**2)
        return counts.reshape(self._matrix_size, self._matrix_size)

    def _matrix_index(self, labels: np.ndarray) -> np.ndarray:
        classes = classes_of(labels)
        return np.where(classes == self.info.ignore_index, self._void, classes)

    def _association(self, pairs: LabelPairs) -> _Association:
        things = list(self.info.thing_ids)
        is_thing = np.isin(classes_of(pairs.truth), things)
        is_crowd = is_thing & (ids_of(pairs.truth) == 0)
        is_tube = is_thing & ~is_crowd
        is_predicted_tube = np.isin(classes_of(pairs.prediction), things) & ~is_crowd

        areas = _areas(pairs.truth, pairs.pixels)
        predicted_areas = _areas(pairs.prediction, pairs.pixels * ~is_crowd)
        shared = pairs.pixels
        quality = shared / areas * (shared / np.maximum(areas + predicted_areas - shared, shared))
        return _Association(
            float(quality[is_tube & is_predicted_tube].sum()),
            np.unique(pairs.truth[is_tube]).size,
            np.unique(pairs.prediction[is_predicted_tube]).size,
        )


def _areas(labels: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """[N] the pixels of all pairs that have each pair's label."""
    _, index = np.unique(labels, return_inverse=True)
    return np.bincount(index, pixels)[index]


def _ious(confusion: np.ndarray) -> np.ndarray:
    """[C] IoU of each class, NaN where it has no pixel."""
    correct = np.diagonal(confusion)
    return ratio(correct, confusion.sum(axis=0) + confusion.sum(axis=1) - correct)
