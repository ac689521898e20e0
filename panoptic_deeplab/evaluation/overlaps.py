"""Pixels that the segments of two maps share, and ratios of such counts.

Both maps are cut into runs where neither changes, and all else is computed on the runs: ids may be
of any size, and no mask of an instance is ever made.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from panoptic_deeplab.errors import DataError
from panoptic_deeplab.id_maps import Runs, run_starts
from panoptic_deeplab.structures import VOID_ID, PanopticMap, Prediction, Segment

NO_CATEGORY = -1


@dataclass(frozen=True)
class Overlaps:
    """The pixels that G annotated and P predicted segments of one image share.

    Attributes:
        truth: the annotated segments, no id twice.
        prediction: the predicted segments, no id twice.
        shared: [G, P] int64, pixels of both.
        on_void: [P] int64, predicted pixels where the annotation is void. An annotated id that no
            segment claims is neither void nor a segment.
        truth_areas: [G] int64, pixels counted in the map (0 where the id does not occur).
        prediction_areas: [P] int64, pixels counted in the map, at least 1.
    """

    truth: Sequence[Segment]
    prediction: Sequence[Segment]
    shared: np.ndarray
    on_void: np.ndarray
    truth_areas: np.ndarray
    prediction_areas: np.ndarray

    @property
    def unions(self) -> np.ndarray:
        """[G, P] int64, pixels of either, void included."""
        return self.truth_areas[:, np.newaxis] + self.prediction_areas - self.shared


def measure_overlaps(prediction: Prediction, truth: PanopticMap) -> Overlaps:
    """Count the shared pixels of every pair of segments of one image.

    Of several segments with one id the last one counts, as in panopticapi.

    Raises:
        DataError: the maps differ in size, or the predicted map and its list of segments name
            different ids.
    """
    truth_ids, predicted_ids, lengths = joint_runs(truth.ids, prediction.ids)
    annotated, predicted = unique_segments(truth.segments), unique_segments(prediction.segments)
    rows, columns = len(annotated) + 2, len(predicted) + 1  # + unlisted and void; + void
    row_of_run = _truth_rows(truth_ids, annotated)
    column_of_run = find_predicted(predicted_ids, predicted) % columns  # void, -1, to the last
    table = np.bincount(row_of_run * columns + column_of_run, lengths, rows * columns)
    table = table.astype(np.int64).reshape(rows, columns)
    return Overlaps(
        truth=annotated,
        prediction=predicted,
        shared=table[:-2, :-1],
        on_void=table[-1, :-1],
        truth_areas=table[:-2].sum(axis=1),
        prediction_areas=_all_occur(table[:, :-1].sum(axis=0), predicted),
    )


def measure_mask_overlaps(
    masks: Iterable[tuple[np.ndarray, Segment]], truth: PanopticMap
) -> Overlaps:
    """Count shared pixels of predicted masks that may overlap, as in Cityscapes' instance files.

    Args:
        masks: pairs of an [H, W] mask, true on the segment's pixels, and the segment. They are
            used one at a time; an empty mask is left out.
        truth: the annotation.

    Raises:
        DataError: a mask and the annotation differ in size.
    """
    annotated = unique_segments(truth.segments)
    runs = Runs.of(truth.ids)
    rows = len(annotated) + 2
    row_of_run = _truth_rows(runs.values, annotated)
    row_of_pixel = runs.spread(row_of_run.astype(np.min_scalar_type(rows)))
    predicted, counts = [], [np.zeros((0, rows), np.int64)]
    for mask, segment in masks:
        check_same_size(mask, truth.ids)
        covered = np.flatnonzero(mask.any(axis=1))
        if covered.size:
            part = slice(covered[0], covered[-1] + 1)
            inside = row_of_pixel[part][mask[part] != 0]
            predicted.append(segment)
            counts.append(np.bincount(inside, minlength=rows)[np.newaxis])
    table = np.concatenate(counts).T  # [rows, P]
    return Overlaps(
        truth=annotated,
        prediction=predicted,
        shared=table[:-2],
        on_void=table[-1],
        truth_areas=np.bincount(row_of_run, runs.lengths, rows).astype(np.int64)[:-2],
        prediction_areas=table.sum(axis=0),
    )


def joint_runs(
    truth_map: np.ndarray, predicted_map: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cut two [H, W] maps into runs in which neither changes.

    `[[1, 1, 2, 2]]` and `[[5, 5, 5, 6]]` give `[1, 2, 2]`, `[5, 5, 6]` and the lengths `[2, 1, 1]`.

    Returns:
        The value of each run in the first map, in the second one, and its length, [R] each.

    Raises:
        DataError: the maps differ in size or are not maps.
    """
    check_same_size(predicted_map, truth_map)
    starts = run_starts(truth_map, predicted_map)
    lengths = np.diff(starts, append=truth_map.size)
    return truth_map.ravel()[starts], predicted_map.ravel()[starts], lengths


def check_same_size(predicted_map: np.ndarray, truth_map: np.ndarray) -> None:
    """Refuse maps that NumPy would broadcast or that are no maps at all."""
    if predicted_map.shape != truth_map.shape:
        raise DataError(
            f"the prediction is {_size(predicted_map)} but the annotation is {_size(truth_map)}; "
            "predict in the original size of the image"
        )
    if truth_map.ndim != 2 or not truth_map.size:
        raise DataError(f"expected maps of height x width, got {_size(truth_map)}")


def unique_segments(segments: Iterable[Segment]) -> tuple[Segment, ...]:
    """Keep one segment per id: the last one listed, at the place of the first."""
    return tuple({segment.id: segment for segment in segments}.values())


def find_segments(ids: np.ndarray, segments: Sequence[Segment]) -> np.ndarray:
    """Find each id's position in `segments` (unique ids), -1 where no segment has it.

    Any shape, any ids; searched rather than looked up, since ids reach 2^24 - 1.
    """
    if not segments:
        return np.full(ids.shape, -1, np.int64)
    listed = np.array([segment.id for segment in segments], np.int64)
    order = np.argsort(listed)
    places = np.searchsorted(listed[order], ids.astype(np.int64))
    positions = order[np.minimum(places, len(listed) - 1)]
    return np.where(listed[positions] == ids, positions, -1)


def find_predicted(ids: np.ndarray, segments: Sequence[Segment]) -> np.ndarray:
    """Find positions as `find_segments`; -1 means void only.

    Raises:
        DataError: the map has an id that is not listed.
    """
    positions = find_segments(ids, segments)
    unlisted = np.unique(ids[(positions < 0) & (ids != VOID_ID)])
    if unlisted.size:
        raise DataError(
            f"the predicted map has id {_some(unlisted)}, which none of its "
            f"{len(segments)} segments has"
        )
    return positions


def categories_of(segments: Iterable[Segment], num_classes: int) -> np.ndarray:
    """[N] int64 class indices of the segments.

    Raises:
        DataError: a segment's category is not in 0..num_classes - 1.
    """
    segments = tuple(segments)
    for segment in segments:
        if not 0 <= segment.category < num_classes:
            raise DataError(
                f"segment {segment.id} has category {segment.category}, expected "
                f"a class index in 0..{num_classes - 1}"
            )
    return np.array([segment.category for segment in segments], np.int64)


def crowds_of(segments: Iterable[Segment]) -> np.ndarray:
    """[N] bool, which segments are crowds."""
    return np.array([segment.iscrowd for segment in segments], bool)


def ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Divide part by whole, elementwise; NaN where the whole is 0."""
    unknown = np.full(np.shape(whole), np.nan)
    return np.divide(part, whole, out=unknown, where=np.asarray(whole) != 0)


def mean_of_known(values: np.ndarray) -> float:
    """Average the values that are not NaN; NaN where there is none."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")


def _truth_rows(ids: np.ndarray, segments: Sequence[Segment]) -> np.ndarray:
    """The table's row of each annotated id: its segment's, else unlisted, else void."""
    positions = find_segments(ids, segments)
    unlisted, void = len(segments), len(segments) + 1
    return np.where(positions >= 0, positions, np.where(ids == VOID_ID, void, unlisted))


def _all_occur(areas: np.ndarray, segments: Sequence[Segment]) -> np.ndarray:
    missing = [segments[index].id for index in np.flatnonzero(areas == 0)]
    if missing:
        raise DataError(
            f"the prediction lists segment {_some(missing)}, which no pixel of its map has"
        )
    return areas


def _size(array: np.ndarray) -> str:
    return "x".join(str(length) for length in array.shape)


def _some(ids: Sequence[int] | np.ndarray) -> str:
    shown = ", ".join(str(int(value)) for value in ids[:5])
    return shown + (f" and {len(ids) - 5} more" if len(ids) > 5 else "")
