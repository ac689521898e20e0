"""AP of Cityscapes' instance files, as `csEvalInstanceLevelSemanticLabeling` gives it."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from cityscapesscripts.helpers.labels import id2label, labels

from panoptic_deeplab.errors import DataError, error_context
from panoptic_deeplab.evaluation.files import count_all, pair_cityscapes
from panoptic_deeplab.evaluation.instance_ap import InstanceAP
from panoptic_deeplab.evaluation.overlaps import check_same_size
from panoptic_deeplab.file_names import inside
from panoptic_deeplab.files import open_file
from panoptic_deeplab.formats.cityscapes import CITYSCAPES, LABEL_IDS
from panoptic_deeplab.formats.images import read_label_map, read_mask
from panoptic_deeplab.id_maps import Runs
from panoptic_deeplab.structures import VOID_ID, PanopticMap, Segment

_CLASS_OF_LABEL = {LABEL_IDS[index]: index for index in CITYSCAPES.thing_ids}
_IGNORED_LABELS = [label.id for label in labels if label.ignoreInEval]


@dataclass(frozen=True)
class _PredictedMask:
    """One line of an instance file."""

    path: Path
    label_id: int
    score: float


def evaluate_instance_files(
    gt_folder: str | Path,
    pred_folder: str | Path,
    *,
    num_workers: int = 0,
    show_progress: bool = False,
) -> dict[str, Any]:
    """Score AP and AP50, 0..1, as csEvalInstanceLevelSemanticLabeling does, without distances.

    Predicted masks may overlap; an empty one, and one whose label has no evaluated instances
    (stuff, caravan), is left out. Ignored regions are the plain ids of ignored labels: an instance
    such as 29001 (a caravan) is neither void nor to be found.

    Unlike the official tool: where it crashes because all predictions of a class are ignored,
    the AP is 0. Refused are a mask that NumPy would broadcast to the annotation's size and a
    score that is not finite; a name that leads out of `pred_folder` by `..` both refuse.

    Args:
        gt_folder: holds, at any depth, `{city}_{seq}_{frame}_gtFine_instanceIds.png`.
        pred_folder: holds, at any depth, one `{city}_{seq}_{frame}*.txt` each, with lines
            `mask labelId score`; the masks' names are relative to the text file.
        num_workers: threads; the result is the same.
        show_progress: whether a bar on standard error counts the images.

    Returns:
        What `InstanceAP.compute()` says, and in the form of the official tool `allAp`, `allAp50%`
        and `classes`: by name `{ap, ap50%}`; AP50 also as `allAp50` and `ap50`. NaN for a class
        without instances.

    Raises:
        DataError: a file is missing or unreadable, lies outside `pred_folder`, has another size or
            an unknown label, or an image has no or several predictions.
    """

    def count(evaluator: InstanceAP, pair: tuple[Path, Path]) -> None:
        annotated = _read_truth(pair[0])
        predicted = _read_list(pair[1], pred_folder)
        evaluator.update_masks(_masks(predicted, annotated.ids), annotated)

    pairs = pair_cityscapes(gt_folder, "_gtFine_instanceIds.png", pred_folder, ".txt")
    whole = count_all(lambda: InstanceAP(CITYSCAPES), count, pairs, num_workers, show_progress)
    return _with_official_names(whole.compute())


def _with_official_names(results: Mapping[str, Any]) -> dict[str, Any]:
    classes = {
        name: {**entry, "ap50%": entry["ap50"]} for name, entry in results["per_class"].items()
    }
    whole = {"allAp": results["ap"], "allAp50": results["ap50"], "allAp50%": results["ap50"]}
    return {**results, **whole, "classes": classes}


def _read_truth(path: Path) -> PanopticMap:
    """Read the instances, and groups as crowds, of an `*_instanceIds.png`."""
    runs = Runs.of(read_label_map(path))
    segments = []
    for value in np.unique(runs.values).tolist():
        label_id = value // 1000 if value >= 1000 else value
        if label_id not in id2label:
            raise DataError(f"{path}: id {value} belongs to label {label_id}, which does not exist")
        if label_id in _CLASS_OF_LABEL:
            segments.append(Segment(value, _CLASS_OF_LABEL[label_id], iscrowd=value < 1000))
    ids = np.where(np.isin(runs.values, _IGNORED_LABELS), VOID_ID, runs.values)
    return PanopticMap(runs.spread(ids), segments)


def _read_list(path: Path, root: str | Path) -> list[_PredictedMask]:
    """Read the predictions of one image; of two lines for one mask the last counts."""
    with open_file(path) as file:
        try:
            text = file.read().decode("utf-8")
        except (OSError, ValueError) as error:
            raise DataError(f"{path}: cannot be read as text ({error})") from error
    masks = {}
    for number, line in enumerate(io.StringIO(text, newline=None), 1):
        place = f"{path}, line {number}"
        try:
            name, label, score = line.split(" ")
            label_id, confidence = int(float(label)), float(score)
        except (ValueError, OverflowError) as error:
            raise DataError(
                f"{place}: expected 'mask labelId score', got {line.rstrip()!r:.100}"
            ) from error
        if label_id not in id2label:
            raise DataError(f"{place}: label id {label_id} does not exist in Cityscapes")
        if not math.isfinite(confidence):
            raise DataError(f"{place}: the score {score.strip()} is not a number")
        mask = inside(path.parent, name, root, place)
        masks[os.path.normpath(mask)] = _PredictedMask(mask, label_id, confidence)
    return list(masks.values())


def _masks(
    predicted: list[_PredictedMask], truth: np.ndarray
) -> Iterator[tuple[np.ndarray, Segment]]:
    """Yield the masks of evaluated labels, read one at a time."""
    for number, entry in enumerate(predicted, 1):
        if entry.label_id in _CLASS_OF_LABEL:
            mask = read_mask(entry.path)
            with error_context(entry.path):
                check_same_size(mask, truth)
            category = _CLASS_OF_LABEL[entry.label_id]
            yield mask, Segment(number, category, score=entry.score)
