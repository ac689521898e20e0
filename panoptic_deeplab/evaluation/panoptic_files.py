"""Panoptic quality of files in COCO panoptic format, as panopticapi reads and scores them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from panoptic_deeplab.errors import DataError, error_context
from panoptic_deeplab.evaluation.files import count_all
from panoptic_deeplab.evaluation.panoptic_quality import PanopticQuality
from panoptic_deeplab.file_names import inside
from panoptic_deeplab.formats.images import read_ids
from panoptic_deeplab.formats.json_items import iterate_items
from panoptic_deeplab.formats.panoptic_json import (
    PanopticEntry,
    flag,
    optional_number,
    whole_number,
)
from panoptic_deeplab.structures import (
    VOID_ID,
    Category,
    DatasetInfo,
    PanopticMap,
    Prediction,
    Segment,
)


def _area(entry: Any, key: str) -> float:
    """The area, NaN where the entry has none."""
    area = optional_number(entry, key)
    return math.nan if area is None else area


def _iscrowd(entry: Any, key: str) -> float:
    return float(bool(flag(entry, key)))


_PREDICTED = {"id": whole_number, "category_id": whole_number}
_ANNOTATED = _PREDICTED | {"area": _area, "iscrowd": _iscrowd}


@dataclass(frozen=True, slots=True)
class _Entry:
    """What a JSON says of one image, packed: it may list millions of segments.

    Attributes:
        image_id: as `image_id_of` reads it.
        file_name: the PNG of ids, relative to its folder.
        segments: [S, K] float64, the K wanted values of each segment; only areas need not be whole.
    """

    image_id: str
    file_name: str
    segments: np.ndarray


def evaluate_panoptic_files(
    gt_json: str | Path,
    gt_folder: str | Path,
    pred_json: str | Path,
    pred_folder: str | Path,
    *,
    num_workers: int = 0,
    show_progress: bool = False,
) -> dict[str, Any]:
    """Score PQ, SQ and RQ, 0..1, by the rules of panopticapi's `pq_compute`.

    The classes are the `categories` of `gt_json`. Predictions for other images are ignored; of two
    predictions for one image, or two segments of one id, the last counts, while an image that
    `gt_json` lists twice is counted twice. An annotated segment of a category that `gt_json` does
    not list counts for no class, and its pixels are not void. Annotated areas are those of
    `gt_json`, right or wrong, so that an IoU can exceed 1; where it has none, the pixels count.
    Areas by which the mean IoU of a class exceeds 1 are refused.

    Unlike panopticapi: a prediction that NumPy would broadcast to the annotation's size is
    refused, as are file names outside the two folders (absolute, `..`), ids in other
    images than PNGs of 8 bits, ids of segments and categories that are not whole numbers, an
    annotated segment with id 0, and one of
    area 0 or less that a prediction of its class covers (its IoU would be infinite). It goes on
    where no thing or no stuff class ever occurred, and then says NaN for that group.

    The JSONs are read image by image; what is kept takes no more memory than the files on disk.

    Args:
        gt_json, gt_folder: COCO panoptic JSON and the folder of its PNGs.
        pred_json, pred_folder: the same of the predictions.
        num_workers: threads; the result is the same.
        show_progress: whether a bar on standard error counts the images.

    Returns:
        What panopticapi returns: `All`, `Things`, `Stuff`, each `{pq, sq, rq, n}`, and `per_class`:
        by category id `{pq, sq, rq}`, 0 for a class that never occurred.

    Raises:
        DataError: a file is missing or unreadable, there is no annotation, an image has no
            prediction, sizes differ, PNG and JSON name different ids, or a predicted category is
            unknown.
    """
    info, annotated = _read_truth(gt_json)
    predicted = _read_predictions(pred_json)
    missing = [entry.image_id for entry in annotated if entry.image_id not in predicted]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise DataError(f"{pred_json}: no prediction for image {missing[0]!r}{more}")

    def count(evaluator: PanopticQuality, entry: _Entry) -> None:
        gt_place = f"{gt_json}: image {entry.image_id}"
        pred_place = f"{pred_json}: image {entry.image_id}"
        found = predicted[entry.image_id]
        annotated_png = inside(gt_folder, entry.file_name, gt_folder, gt_place)
        predicted_png = inside(pred_folder, found.file_name, pred_folder, pred_place)
        with error_context(gt_place):
            segments = _annotated_segments(entry.segments, info)
        truth = PanopticMap(read_ids(annotated_png), segments)
        with error_context(pred_place):
            segments = _predicted_segments(found.segments, info)
        prediction = Prediction(read_ids(predicted_png), segments)
        with error_context(f"{predicted_png}, image {entry.image_id}"):
            evaluator.update(prediction, truth)

    whole = count_all(lambda: PanopticQuality(info), count, annotated, num_workers, show_progress)
    with error_context(gt_json):
        return _official_form(whole.compute(), info)


def _official_form(results: Mapping[str, Any], info: DatasetInfo) -> dict[str, Any]:
    """Classes by category id and, as in panopticapi, 0 for what never occurred."""
    per_class = {
        category.official_id: {
            key: 0.0 if math.isnan(results["per_class"][category.name][key]) else value
            for key, value in results["per_class"][category.name].items()
            if key in ("pq", "sq", "rq")
        }
        for category in info.categories
    }
    return {key: results[key] for key in ("All", "Things", "Stuff")} | {"per_class": per_class}


def _read_truth(path: str | Path) -> tuple[DatasetInfo, list[_Entry]]:
    entries, categories = [], []
    for key, item in iterate_items(path, "annotations", "categories"):
        if key == "annotations":
            entries.append(_entry(item, _ANNOTATED, path))
        else:
            categories.append(item)
    if not entries:
        raise DataError(f"{path}: 'annotations' lists no image; there is nothing to score")
    return _info(categories, path), entries


def _read_predictions(path: str | Path) -> dict[str, _Entry]:
    entries = (_entry(item, _PREDICTED, path) for _, item in iterate_items(path, "annotations"))
    return {entry.image_id: entry for entry in entries}


def _info(entries: Sequence[Any], path: str | Path) -> DatasetInfo:
    kinds = {}
    with error_context(path):
        for entry in entries:
            is_thing = flag(entry, "isthing")
            if is_thing is None:
                raise DataError(
                    "expected 'categories', a list of {id, isthing} with isthing 1 for things and "
                    f"0 for stuff, got {entry!r:.100}"
                )
            kinds[whole_number(entry, "id")] = is_thing
    # Named by their ids: panopticapi asks neither for names nor for colors.
    with error_context(path):
        categories = tuple(
            Category(str(number), is_thing, (0, 0, 0), number) for number, is_thing in kinds.items()
        )
        return DatasetInfo(str(path), categories, ignore_index=-1)


def _entry(item: Any, keys: Mapping[str, Callable[..., float]], path: str | Path) -> _Entry:
    entry = PanopticEntry.of(item, path)
    with error_context(f"{path}: image {entry.image_id}"):
        rows = [[read(s, key) for key, read in keys.items()] for s in entry.segments]
    packed = np.array(rows, np.float64).reshape(len(rows), len(keys))
    return _Entry(entry.image_id, entry.file_name, packed)


def _annotated_segments(packed: np.ndarray, info: DatasetInfo) -> list[Segment]:
    segments = []
    for segment_id, category_id, area, iscrowd in packed.tolist():
        if segment_id == VOID_ID:
            raise DataError(f"segment id {VOID_ID} means void and cannot be annotated")
        category = info.index_of_official_id.get(category_id)
        if category is not None:
            known_area = None if math.isnan(area) else area
            segments.append(Segment(int(segment_id), category, iscrowd == 1, known_area))
    return segments


def _predicted_segments(packed: np.ndarray, info: DatasetInfo) -> list[Segment]:
    """The segments, also one with id 0, which training refuses and panopticapi counts."""
    segments = []
    for segment_id, category_id in dict(packed.tolist()).items():  # the last one of an id
        if category_id not in info.index_of_official_id:
            raise DataError(
                f"segment {segment_id:.0f} has unknown category_id {category_id:.0f}, "
                f"which is none of the {info.num_classes} categories of {info.name}"
            )
        segments.append(Segment(int(segment_id), info.index_of_official_id[category_id]))
    return segments
