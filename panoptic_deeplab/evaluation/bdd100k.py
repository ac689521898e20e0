"""Panoptic quality by the rules of BDD100K, for bitmasks and for Scalabel JSON."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from panoptic_deeplab.errors import DataError, error_context
from panoptic_deeplab.evaluation.files import count_all, find_files
from panoptic_deeplab.evaluation.overlaps import (
    NO_CATEGORY,
    Overlaps,
    check_same_size,
    crowds_of,
    find_predicted,
    measure_overlaps,
)
from panoptic_deeplab.evaluation.panoptic_quality import (
    IGNORED_FRACTION,
    MATCHING_IOU,
    PanopticQuality,
)
from panoptic_deeplab.files import files_below
from panoptic_deeplab.formats.bdd100k import BDD100K, IMAGE_SIZE, read_bitmask
from panoptic_deeplab.formats.scalabel import (
    Label,
    LabeledFrame,
    decode_mask,
    read_frames,
)
from panoptic_deeplab.registry import EVALUATORS
from panoptic_deeplab.structures import PanopticMap, Prediction, Segment

OFFICIAL_NAMES = {"PQ": "pq", "SQ": "sq", "RQ": "rq"}
OFFICIAL_GROUPS = {"OVERALL": "All", "STUFF": "Stuff", "THING": "Things"}


@EVALUATORS.add_component
class Bdd100kPanopticQuality(PanopticQuality):
    """PQ, SQ and RQ by the rules of bdd100k's and scalabel's panoptic evaluation.

    Unlike panopticapi's: void stays in the unions; crowds, here also what is marked as ignored,
    neither match nor count, annotated or predicted; an unmatched prediction is no false positive if
    more than half of it lies outside the annotated segments that count. The category -1 means
    none of the classes: such segments count for no class.

    Args:
        info: the classes.
    """

    def update(self, prediction: Prediction, truth: PanopticMap) -> None:
        """Count the matches of one image.

        Raises:
            DataError: prediction and annotation cannot be compared (sizes, ids, categories).
        """
        self._count(measure_overlaps(prediction, truth))

    def update_masks(
        self, prediction: Prediction, masks: Iterable[tuple[np.ndarray, Segment]]
    ) -> None:
        """Count an image whose annotated masks may overlap each other, as in Scalabel JSON.

        Args:
            prediction: all its segments occur in the map.
            masks: pairs of an [H, W] bool mask and its annotated segment, used one at a time.

        Raises:
            DataError: a mask has another size than the predicted map.
        """
        positions = find_predicted(prediction.ids, prediction.segments)
        count = len(prediction.segments)
        truth, rows = [], [np.zeros((0, count + 1), np.int64)]
        for mask, segment in masks:
            check_same_size(prediction.ids, mask)
            truth.append(segment)
            rows.append(np.bincount(positions[mask] + 1, minlength=count + 1)[np.newaxis])
        table = np.concatenate(rows)  # [G, void + P]
        areas = np.bincount(positions.ravel() + 1, minlength=count + 1)[1:]
        self._count(
            Overlaps(
                truth=truth,
                prediction=prediction.segments,
                shared=table[:, 1:],
                on_void=np.zeros(count, np.int64),  # these rules do not ask for it
                truth_areas=table.sum(axis=1),
                prediction_areas=areas,
            )
        )

    def _count(self, overlaps: Overlaps) -> None:
        truth_categories = self._categories(overlaps.truth)
        predicted_categories = self._categories(overlaps.prediction)
        truth_counts = ~crowds_of(overlaps.truth)
        predicted_counts = ~crowds_of(overlaps.prediction)

        iou = overlaps.shared / overlaps.unions
        iou *= truth_categories[:, np.newaxis] == predicted_categories
        # A column of zeros stands for "nobody", so that there always is a best.
        iou = np.pad(iou, ((0, 0), (0, 1)))
        best = iou.argmax(axis=1)
        best_iou = iou.max(axis=1)
        found = (best_iou > MATCHING_IOU) & np.append(predicted_counts, False)[best]

        matched = np.zeros(len(predicted_counts) + 1, bool)
        matched[best[truth_counts & found]] = True
        fractions = overlaps.shared[truth_counts] / overlaps.prediction_areas
        outside = 1 - fractions.sum(axis=0)
        wrong = predicted_counts & ~matched[:-1] & ~(outside > IGNORED_FRACTION)

        hits, misses = truth_counts & found, truth_counts & ~found
        self._iou += self._per_known_class(truth_categories[hits], best_iou[hits])
        self._tp += self._per_known_class(truth_categories[hits]).astype(np.int64)
        self._fn += self._per_known_class(truth_categories[misses]).astype(np.int64)
        self._fp += self._per_known_class(predicted_categories[wrong]).astype(np.int64)

    def _categories(self, segments: Iterable[Segment]) -> np.ndarray:
        categories = np.array([segment.category for segment in segments], np.int64)
        highest = self.info.num_classes - 1
        if ((categories < NO_CATEGORY) | (categories > highest)).any():
            raise DataError(
                f"a segment has a category in {sorted(set(categories.tolist()))}, expected class "
                f"indices in 0..{highest}, or {NO_CATEGORY} for none"
            )
        return categories

    def _per_known_class(
        self, categories: np.ndarray, weights: np.ndarray | None = None
    ) -> np.ndarray:
        """[C] sums; the category -1 is left out."""
        return np.bincount(categories + 1, weights, self.info.num_classes + 1)[1:]


def evaluate_bdd100k_files(
    gt: str | Path, pred: str | Path, *, num_workers: int = 0, show_progress: bool = False
) -> dict[str, Any]:
    """Score PQ, SQ and RQ of the 40 classes, in percent, as `bdd100k.eval.run -t pan_seg` does.

    Bitmasks are paired by their names without suffix, frames of Scalabel JSON by `name` (where
    names of predictions occur twice, by `videoName` and `name`; of two predictions for a frame the
    last counts). An image without a prediction misses everything. In JSON the parts of a stuff
    class are one segment, labels without a mask or of an unknown category are left out, and a frame
    in which predicted masks overlap counts as empty.

    Unlike the official tools: bitmasks are scored by a JSON and a JSON by bitmasks too, where those
    crash or say 0, paired by their names without suffix; more than 100 predicted segments, an empty
    prediction, one of crowds only, and a frame without annotations are counted by the same rules,
    where those crash; RLE may have its counts as a list; JSON masks of different sizes are refused;
    annotated polygons are filled whether they are marked as closed or not, and may differ along
    their edge (see `formats.scalabel.decode_mask`).

    Args:
        gt, pred: each a folder of RGBA bitmasks, or Scalabel JSON, a file or a folder.
        num_workers: threads; the result is the same.
        show_progress: whether a bar on standard error counts the images.

    Returns:
        `PQ`, `SQ`, `RQ` and `N` (classes that occurred; also as `NUM`, its name in the Scalabel
        form), each with `OVERALL`, `STUFF`, `THING` and `per_class` by name; 0 for what never
        occurred.

    Raises:
        DataError: a file is missing or unreadable or of another form, a folder is empty, sizes
            differ, an instance of a bitmask has several categories, or a predicted label of a JSON
            has no whole number as id or is a polygon.
    """
    for path in map(Path, (gt, pred)):
        if not path.exists():
            raise DataError(f"{path}: no such file or folder")
    gt_form, pred_form = _form_of(gt), _form_of(pred)
    annotated, predicted = gt_form.list_images(gt), pred_form.list_images(pred)
    if not annotated:
        raise DataError(f"{gt}: there is no frame; there is nothing to score")
    in_json = gt_form is pred_form is _SCALABEL
    key = _key_of_frames(annotated, predicted) if in_json else _stem
    image_of_key = {key(image): image for image in predicted}

    def count(evaluator: Bdd100kPanopticQuality, image: LabeledFrame) -> None:
        truth = gt_form.read_truth(image)
        found = image_of_key.get(key(image))
        prediction = (
            Prediction(np.zeros(truth.size or IMAGE_SIZE, np.int32), ())
            if found is None
            else pred_form.read_prediction(found, truth.size)
        )
        with error_context(gt_form.place(image)):
            truth.count(evaluator, prediction)

    counted = count_all(
        lambda: Bdd100kPanopticQuality(BDD100K), count, annotated, num_workers, show_progress
    )
    return _official_form(counted.compute())


def _official_form(results: Mapping[str, Any]) -> dict[str, Any]:
    def percent(value: float) -> float:
        return 0.0 if math.isnan(value) else 100 * value

    form: dict[str, Any] = {
        official: {name: percent(results[group][key]) for name, group in OFFICIAL_GROUPS.items()}
        | {"per_class": {name: percent(entry[key]) for name, entry in results["per_class"].items()}}
        for official, key in OFFICIAL_NAMES.items()
    }
    form["N"] = {name: results[group]["n"] for name, group in OFFICIAL_GROUPS.items()}
    form["N"]["per_class"] = {
        name: int(entry["tp"] + entry["fp"] + entry["fn"] > 0)
        for name, entry in results["per_class"].items()
    }
    form["NUM"] = form["N"]
    return form


class _Truth(NamedTuple):
    """The annotation of an image: its size, None if it does not tell, and how to score by it."""

    size: tuple[int, int] | None
    count: Callable[[Bdd100kPanopticQuality, Prediction], None]


class _Form(NamedTuple):
    """A form of files, of annotations and predictions alike."""

    list_images: Callable[[str | Path], list[LabeledFrame]]
    place: Callable[[LabeledFrame], str | Path]
    read_truth: Callable[[LabeledFrame], _Truth]
    read_prediction: Callable[[LabeledFrame, tuple[int, int] | None], Prediction]


def _list_bitmasks(folder: str | Path) -> list[LabeledFrame]:
    return [LabeledFrame(path, path.name) for path in find_files(folder, ".png")]


def _bitmask_truth(image: LabeledFrame) -> _Truth:
    truth = read_bitmask(image.source)
    return _Truth(truth.ids.shape, lambda evaluator, found: evaluator.update(found, truth))


def _bitmask_prediction(image: LabeledFrame, _: tuple[int, int] | None) -> Prediction:
    found = read_bitmask(image.source)
    return Prediction(found.ids, found.segments)


def _place(frame: LabeledFrame) -> str:
    return f"{frame.source}: frame {frame.name}"


def _frame_truth(frame: LabeledFrame) -> _Truth:
    with error_context(_place(frame)):
        size = _mask_size(frame)

    def count(evaluator: Bdd100kPanopticQuality, found: Prediction) -> None:
        evaluator.update_masks(found, _annotated_masks(frame, size or found.ids.shape))

    return _Truth(size, count)


def _frame_prediction(frame: LabeledFrame, size: tuple[int, int] | None) -> Prediction:
    with error_context(_place(frame)):
        return _predicted_map(frame, size or _mask_size(frame) or IMAGE_SIZE)


_BITMASKS = _Form(_list_bitmasks, lambda image: image.source, _bitmask_truth, _bitmask_prediction)
_SCALABEL = _Form(read_frames, _place, _frame_truth, _frame_prediction)


def _form_of(path: str | Path) -> _Form:
    path = Path(path)
    has_bitmasks = path.is_dir() and (files_below(path, ".png") or not files_below(path, ".json"))
    return _BITMASKS if has_bitmasks else _SCALABEL


def _stem(image: LabeledFrame) -> str:
    return Path(image.name).stem


def _key_of_frames(
    annotated: Sequence[LabeledFrame], predicted: Sequence[LabeledFrame]
) -> Callable[[LabeledFrame], Any]:
    """The key that pairs frames: the name, with the video's name if needed and known."""
    unique = len({frame.name for frame in predicted}) == len(predicted)
    if unique or not all(frame.video for frame in (*annotated, *predicted)):
        return lambda frame: frame.name
    return lambda frame: (frame.video, frame.name)


def _known_labels(frame: LabeledFrame) -> list[Label]:
    return [
        label
        for label in frame.labels
        if label.has_mask and label.category in BDD100K.index_of_name
    ]


def _mask_size(frame: LabeledFrame) -> tuple[int, int] | None:
    """(height, width) of the first run-length mask, None where there is none."""
    labels = (label for label in _known_labels(frame) if label.rle is not None)
    first = next(labels, None)
    return None if first is None else decode_mask(first, IMAGE_SIZE).shape


def _annotated_masks(
    frame: LabeledFrame, size: tuple[int, int]
) -> Iterator[tuple[np.ndarray, Segment]]:
    """Yield each thing, and each stuff class as one mask, by class; crowds are left out."""
    labels = [label for label in _known_labels(frame) if not label.iscrowd]
    for category, name in enumerate(entry.name for entry in BDD100K.categories):
        masks = (_checked_mask(label, size) for label in labels if label.category == name)
        if category in BDD100K.thing_ids:
            yield from ((mask, Segment(1, category)) for mask in masks)
        elif (first := next(masks, None)) is not None:
            for mask in masks:
                first |= mask
            yield first, Segment(1, category)


def _predicted_map(frame: LabeledFrame, size: tuple[int, int]) -> Prediction:
    """Paint the things, and each stuff class as one segment; nothing if any masks overlap."""
    labels = _known_labels(frame)
    ids = np.zeros(size, np.int32)
    covered = np.zeros(size, bool)
    segments: dict[int, Segment] = {}
    for number, label in enumerate(labels, BDD100K.num_classes + 1):
        if label.rle is None:
            raise DataError(f"label {label.id}: a prediction has to be a mask (rle), no polygon")
        mask = _checked_mask(label, size)
        if (covered & mask).any():
            return Prediction(np.zeros(size, np.int32), ())
        covered |= mask
        if mask.any() and not label.iscrowd:
            category = BDD100K.index_of_name[label.category]
            segment_id = number if category in BDD100K.thing_ids else category + 1
            ids[mask] = segment_id
            segments[segment_id] = Segment(segment_id, category)
    _check_ids(labels)
    return Prediction(ids, tuple(segments.values()))


def _checked_mask(label: Label, size: tuple[int, int]) -> np.ndarray:
    mask = decode_mask(label, size)
    if mask.shape != size:
        raise DataError(
            f"label {label.id}: its mask is {mask.shape[0]}x{mask.shape[1]}, the frame's first "
            f"mask is {size[0]}x{size[1]}"
        )
    return mask


def _check_ids(labels: Iterable[Label]) -> None:
    for label in labels:
        if not label.iscrowd and not re.fullmatch(r"\s*[+-]?\d+\s*", label.id):
            raise DataError(
                f"label {label.id!r}: the id of a predicted label has to be a whole number"
            )
