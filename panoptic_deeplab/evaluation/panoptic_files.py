"""Panoptic quality of files in COCO panoptic form, as panopticapi reads and scores them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from panoptic_deeplab.errors import DataError
from panoptic_deeplab.evaluation.files import count_all, inside, read_json_object, told_with
from panoptic_deeplab.evaluation.panoptic_quality import PanopticQuality
from panoptic_deeplab.formats.images import read_ids
from panoptic_deeplab.structures import (
    VOID_ID,
    Category,
    DatasetInfo,
    PanopticMap,
    Prediction,
    Segment,
)


@dataclass(frozen=True)
class _Pair:
    """The annotation of one image and the prediction for it, as in the two JSONs."""

    image_id: Any
    truth: Mapping[str, Any]
    prediction: Mapping[str, Any]


def evaluate_panoptic_files(
    gt_json: str | Path,
    gt_folder: str | Path,
    pred_json: str | Path,
    pred_folder: str | Path,
    *,
    num_workers: int = 0,
) -> dict[str, Any]:
    """PQ, SQ and RQ, 0..1, by the rules of panopticapi's `pq_compute`.

    The classes are the `categories` of `gt_json`. Predictions for other images are ignored; of two
    entries for one image, or one segment id, the last counts. An annotated segment of a category
    that `gt_json` does not list counts for no class, and its pixels are not void.

    Other than panopticapi: a prediction that NumPy would broadcast to the annotation's size is
    refused, as are file names outside the two folders and an annotated segment with id 0. It goes
    on where no thing or no stuff class ever occurred, and then says NaN for that group.

    Args:
        gt_json, gt_folder: COCO panoptic JSON and the folder of its PNGs.
        pred_json, pred_folder: the same of the predictions.
        num_workers: threads; the result is the same.

    Returns:
        What panopticapi returns: `All`, `Things`, `Stuff`, each `{pq, sq, rq, n}`, and `per_class`:
        by category id `{pq, sq, rq}`, 0 for a class that never occurred.

    Raises:
        DataError: a file is missing or unreadable, an image has no prediction, sizes differ, PNG
            and JSON name different ids, or a predicted category is unknown.
    """
    truth, prediction = read_json_object(gt_json), read_json_object(pred_json)
    info = _info(truth, gt_json)
    pairs = _pairs(_annotations(truth, gt_json), _annotations(prediction, pred_json), pred_json)

    def count(evaluator: PanopticQuality, pair: _Pair) -> None:
        gt_place = f"{gt_json}: image {pair.image_id}"
        pred_place = f"{pred_json}: image {pair.image_id}"
        annotated_png = _png(gt_folder, pair.truth, gt_place)
        predicted_png = _png(pred_folder, pair.prediction, pred_place)
        with told_with(gt_place):
            segments = _annotated_segments(pair.truth, info)
        annotated = PanopticMap(read_ids(annotated_png), segments)
        with told_with(pred_place):
            segments = _predicted_segments(pair.prediction, info)
        predicted = Prediction(read_ids(predicted_png), segments)
        with told_with(f"{predicted_png}, image {pair.image_id}"):
            evaluator.update(predicted, annotated)

    evaluator = count_all(lambda: PanopticQuality(info), count, pairs, num_workers)
    return _official_form(evaluator.compute(), info)


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


def _info(content: Mapping[str, Any], path: str | Path) -> DatasetInfo:
    try:
        categories = tuple(
            # Named by their ids: panopticapi asks neither for names nor for colours.
            Category(str(entry["id"]), bool(entry["isthing"]), (0, 0, 0), int(entry["id"]))
            for entry in content["categories"]
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(
            f"{path}: expected 'categories', a list of {{id, isthing}} "
            f"({type(error).__name__}: {error})"
        ) from error
    with told_with(path):
        return DatasetInfo(str(path), categories, ignore_index=-1)


def _annotations(content: Mapping[str, Any], path: str | Path) -> dict[Any, Mapping[str, Any]]:
    """Image id -> entry, of several the last."""
    try:
        return {entry["image_id"]: entry for entry in content["annotations"]}
    except (KeyError, TypeError) as error:
        raise DataError(
            f"{path}: expected 'annotations', a list of {{image_id, file_name, segments_info}} "
            f"({type(error).__name__}: {error})"
        ) from error


def _pairs(
    truth: Mapping[Any, Mapping[str, Any]],
    predictions: Mapping[Any, Mapping[str, Any]],
    path: str | Path,
) -> list[_Pair]:
    missing = [image_id for image_id in truth if image_id not in predictions]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise DataError(f"{path}: no prediction for image {missing[0]!r}{more}")
    return [_Pair(image_id, entry, predictions[image_id]) for image_id, entry in truth.items()]


def _png(folder: str | Path, entry: Mapping[str, Any], place: str) -> Path:
    name = entry.get("file_name")
    if not isinstance(name, str):
        raise DataError(f"{place}: expected a file_name, got {name!r:.80}")
    return inside(folder, name, folder, place)


def _segments_info(entry: Mapping[str, Any], keys: tuple[str, ...]) -> list[dict[str, int]]:
    """The segments with the wanted keys only, all of them whole numbers."""
    segments = entry.get("segments_info")
    if not isinstance(segments, list):
        raise DataError(f"expected a list under 'segments_info', got {segments!r:.80}")
    return [{key: _whole_number(segment, key) for key in keys} for segment in segments]


def _whole_number(segment: Any, key: str) -> int:
    value = segment.get(key) if isinstance(segment, Mapping) else None
    if not isinstance(value, (int, float)) or value != value // 1:
        raise DataError(f"expected a segment with a whole number {key!r}, got {segment!r:.200}")
    return int(value)


def _annotated_segments(entry: Mapping[str, Any], info: DatasetInfo) -> list[Segment]:
    segments = []
    for segment in _segments_info(entry, ("id", "category_id", "area", "iscrowd")):
        if segment["id"] == VOID_ID:
            raise DataError(f"segment id {VOID_ID} means void and cannot be annotated")
        category = info.index_of_official_id.get(segment["category_id"])
        if category is not None:
            crowd = segment["iscrowd"] == 1
            segments.append(Segment(segment["id"], category, crowd, segment["area"]))
    return segments


def _predicted_segments(entry: Mapping[str, Any], info: DatasetInfo) -> list[Segment]:
    """Unlike `Segment.from_json` takes a segment with id 0, which panopticapi counts."""
    segments = []
    for segment in _segments_info(entry, ("id", "category_id")):
        if segment["category_id"] not in info.index_of_official_id:
            raise DataError(
                f"segment {segment['id']} has unknown category_id {segment['category_id']}, "
                f"which is none of the {info.num_classes} categories of {info.name}"
            )
        category = info.index_of_official_id[segment["category_id"]]
        segments.append(Segment(segment["id"], category))
    return segments
