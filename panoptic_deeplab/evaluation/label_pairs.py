"""Pixels that an annotated and a predicted label share, in a frame, a window or a sequence.

A label is a class with an id in it, as one whole number; the same label in two frames is the same
tube. Frames are kept as sparse counts, which add up to those of windows and sequences.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from panoptic_deeplab.errors import DataError
from panoptic_deeplab.evaluation.overlaps import (
    categories_of,
    check_same_size,
    find_predicted,
    find_segments,
    joint_runs,
    unique_segments,
)
from panoptic_deeplab.id_maps import run_starts
from panoptic_deeplab.structures import DatasetInfo, PanopticMap, Prediction, Segment

MAX_ID = 2**31 - 1
_ID_BITS = 32

LabelMaps = tuple[np.ndarray, np.ndarray]
"""[H, W] class indices and [H, W] ids within a class, whole numbers."""


class Labels(Protocol):
    """What the measures of sequences know of the classes; a `DatasetInfo` has it."""

    @property
    def num_classes(self) -> int: ...

    @property
    def thing_ids(self) -> Sequence[int]: ...

    @property
    def ignore_index(self) -> int: ...

    @property
    def index_of_name(self) -> Mapping[str, int]: ...


@dataclass(frozen=True)
class LabelSpace:
    """Classes by their numbers alone, for label maps without a `DatasetInfo`.

    Attributes:
        num_classes: labels are 0..num_classes - 1, and `ignore_index`.
        thing_ids: classes whose pixels have ids.
        ignore_index: label of void, any number; it may be one of the classes.
    """

    num_classes: int
    thing_ids: Sequence[int]
    ignore_index: int = 255

    def __post_init__(self) -> None:
        others = [i for i in self.thing_ids if not 0 <= i < self.num_classes]
        if others or self.ignore_index in self.thing_ids or self.ignore_index < 0:
            raise DataError(
                f"expected thing_ids in 0..{self.num_classes - 1} without ignore_index, which is "
                f"not negative, got {list(self.thing_ids)} and {self.ignore_index}"
            )

    @cached_property
    def index_of_name(self) -> dict[str, int]:
        """The numbers as names."""
        return {str(index): index for index in range(self.num_classes)}


@dataclass(frozen=True)
class LabelPairs:
    """N pairs of an annotated and a predicted label, no pair twice.

    Attributes:
        truth, prediction: [N] int64 labels; `classes_of` and `ids_of` take them apart.
        pixels: [N] float64, pixels of both, above 0; a fraction where pixels are weighted.
    """

    truth: np.ndarray
    prediction: np.ndarray
    pixels: np.ndarray

    @classmethod
    def count(cls, truth: np.ndarray, prediction: np.ndarray, pixels: np.ndarray) -> LabelPairs:
        """Add up the pixels of equal pairs: labels and pixels [R] each."""
        truth_labels, rows = np.unique(truth, return_inverse=True)
        predicted_labels, columns = np.unique(prediction, return_inverse=True)
        width = max(1, predicted_labels.size)
        cells, cell_of_run = np.unique(rows * width + columns, return_inverse=True)
        counts = np.bincount(cell_of_run, pixels, cells.size)
        seen = counts > 0
        cells = cells[seen]
        return cls(truth_labels[cells // width], predicted_labels[cells % width], counts[seen])

    @classmethod
    def sum(cls, parts: Iterable[LabelPairs]) -> LabelPairs:
        """Add up several counts."""
        columns = zip(*((part.truth, part.prediction, part.pixels) for part in parts), strict=True)
        return cls.count(*map(np.concatenate, columns))


def classes_of(labels: np.ndarray) -> np.ndarray:
    """The class of each label."""
    return labels >> _ID_BITS


def ids_of(labels: np.ndarray) -> np.ndarray:
    """The id of each label in its class."""
    return labels & ((1 << _ID_BITS) - 1)


def pairs_of_segments(prediction: Prediction, truth: PanopticMap, info: DatasetInfo) -> LabelPairs:
    """Count the pairs of a frame; a thing's id is its `track_id`, else its id in the map.

    Stuff and crowds have id 0, and so has void; an annotated id that is not listed is void.

    Raises:
        DataError: the maps differ in size, or a predicted id is not listed.
    """
    truth_ids, predicted_ids, lengths = joint_runs(truth.ids, prediction.ids)
    annotated, predicted = unique_segments(truth.segments), unique_segments(prediction.segments)
    return LabelPairs.count(
        _labels_of_segments(annotated, info)[find_segments(truth_ids, annotated)],
        _labels_of_segments(predicted, info)[find_predicted(predicted_ids, predicted)],
        lengths,
    )


def pairs_of_maps(
    prediction: LabelMaps, truth: LabelMaps, info: Labels, weights: np.ndarray | None = None
) -> LabelPairs:
    """Count the pairs of a frame from its label maps.

    Args:
        prediction, truth: class indices and ids. The label `num_classes` is another name of void.
        info: the classes.
        weights: [H, W] what each pixel counts; None for 1.

    Raises:
        DataError: the maps differ in size, or a class or an id is out of range.
    """
    maps = [np.asarray(one) for one in (*truth, *prediction)]
    for one in (*maps[1:], *([] if weights is None else [weights])):
        check_same_size(one, maps[0])
    starts = run_starts(*maps)
    if weights is None:
        pixels = np.diff(starts, append=maps[0].size)
    else:
        pixels = np.add.reduceat(np.asarray(weights, np.float64).ravel(), starts)
    truth_classes, truth_ids, classes, ids = (one.ravel()[starts] for one in maps)
    return LabelPairs.count(
        _checked_labels(truth_classes, truth_ids, info, "the annotation"),
        _checked_labels(classes, ids, info, "the prediction"),
        pixels,
    )


def sequence_of(truth: PanopticMap) -> str:
    """Return the sequence of an annotated frame.

    Raises:
        DataError: it belongs to none.
    """
    if truth.sequence is None:
        raise DataError(
            "the annotation names no sequence, which STQ and VPQ need; take a data set of "
            "sequences, or set `sequence` of the PanopticMap"
        )
    return truth.sequence


def refuse_shared(own: Iterable[str], others: Iterable[str]) -> None:
    """Refuse counts of a sequence that both sides have."""
    shared = sorted(set(own) & set(others))
    if shared:
        raise DataError(
            f"sequence {shared[0]!r} was counted twice, here and in what is merged; give all its "
            "frames to one evaluator"
        )


def _labels_of_segments(segments: Sequence[Segment], info: DatasetInfo) -> np.ndarray:
    """[S + 1] the label of each segment, and last that of void."""
    categories = categories_of(segments, info.num_classes)
    ids = [_identity(segment, info) for segment in segments]
    return _labels(np.append(categories, info.ignore_index), np.array([*ids, 0], np.int64))


def _identity(segment: Segment, info: DatasetInfo) -> int:
    if segment.iscrowd or segment.category not in info.thing_ids:
        return 0
    return segment.id if segment.track_id is None else segment.track_id


def _checked_labels(classes: np.ndarray, ids: np.ndarray, info: Labels, what: str) -> np.ndarray:
    for values, name in ((classes, "class"), (ids, "id")):
        if values.dtype.kind not in "iu":
            raise DataError(f"{what} has {values.dtype} values as {name}, expected whole numbers")
    known = (classes >= 0) & (classes <= info.num_classes) | (classes == info.ignore_index)
    if not known.all():
        raise DataError(
            f"{what} has class {classes[~known][0]}, expected 0..{info.num_classes - 1} or "
            f"{info.ignore_index} for void"
        )
    if ids.max() > MAX_ID or ids.min() < 0:
        wrong = ids[(ids < 0) | (ids > MAX_ID)][0]
        raise DataError(f"{what} has id {wrong}, expected 0..{MAX_ID} within a class")
    classes = classes.astype(np.int64)
    classes[classes == info.num_classes] = info.ignore_index
    return _labels(classes, ids.astype(np.int64))


def _labels(classes: np.ndarray, ids: np.ndarray) -> np.ndarray:
    return classes << _ID_BITS | ids
