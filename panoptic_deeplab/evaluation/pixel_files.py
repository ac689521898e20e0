"""Semantic scores of Cityscapes' label files, as `csEvalPixelLevelSemanticLabeling` gives them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from cityscapesscripts.helpers.labels import id2label, labels

from panoptic_deeplab.errors import DataError, error_context
from panoptic_deeplab.evaluation.files import count_all, pair_cityscapes
from panoptic_deeplab.evaluation.overlaps import joint_runs, mean_of_known, ratio
from panoptic_deeplab.evaluation.semantic_iou import SemanticIoU
from panoptic_deeplab.formats.cityscapes import CITYSCAPES, LABEL_IDS
from panoptic_deeplab.formats.images import read_label_map
from panoptic_deeplab.structures import PanopticMap, Prediction, Segment

_LABELS = [label for label in labels if label.id >= 0]  # in the order of their ids
_EVALUATED = np.array([not label.ignoreInEval for label in _LABELS])
# For all values of a byte, so that a whole map is looked up at once.
_CLASS_TABLE = np.full(256, CITYSCAPES.ignore_index, np.uint8)
_CLASS_TABLE[list(LABEL_IDS)] = range(CITYSCAPES.num_classes)
_ID_TABLE = np.zeros(256, np.uint8)  # class index + 1, 0 for void
_ID_TABLE[list(LABEL_IDS)] = range(1, CITYSCAPES.num_classes + 1)
_SEGMENTS = [Segment(index + 1, index) for index in range(CITYSCAPES.num_classes)]

GROUPS = tuple(dict.fromkeys(label.category for label in _LABELS))
"""Cityscapes' categories of labels: void, flat, construction, ..."""
_GROUP_OF_LABEL = np.array([GROUPS.index(label.category) for label in _LABELS])
_GROUP_OF_CLASS = _GROUP_OF_LABEL[list(LABEL_IDS)]
_GROUPS_OF_INSTANCES = tuple(
    group
    for group in GROUPS
    if all(label.hasInstances for label in _LABELS if label.category == group)
)

AVERAGE_SIZES = {
    "person": 3462.4756337644,
    "rider": 3930.4788056518,
    "car": 12794.0202738185,
    "truck": 27855.1264367816,
    "bus": 35732.1511111111,
    "train": 67583.7075812274,
    "motorcycle": 6298.7200839748,
    "bicycle": 4672.3249222261,
}
"""Pixels of an average instance, as cityscapesscripts' pixel-level evaluation has them."""


def evaluate_pixel_files(
    gt_folder: str | Path,
    pred_folder: str | Path,
    *,
    num_workers: int = 0,
    show_progress: bool = False,
) -> dict[str, Any]:
    """Score IoU of classes and categories, and iIoU, as csEvalPixelLevelSemanticLabeling.

    Pixels annotated as an ignored label do not count; an ignored label, predicted on a valid pixel,
    is a false negative of the true class and no class's false positive.

    Args:
        gt_folder: holds, at any depth, `{city}_{seq}_{frame}_gtFine_labelIds.png` and, beside each,
            `..._gtFine_instanceIds.png`.
        pred_folder: holds, at any depth, one `{city}_{seq}_{frame}*.png` of label ids each.
        num_workers: threads; the result is the same.
        show_progress: whether a bar on standard error counts the images.

    Returns:
        What `SemanticIoU.compute()` says, and under the official tool's names
        `averageScoreClasses`, `averageScoreCategories` (IoU), `averageScoreInstClasses`,
        `averageScoreInstCategories` (iIoU) and `classScores`, `categoryScores`, `classInstScores`,
        `categoryInstScores` by name. NaN for what is not evaluated or never occurred.

    Raises:
        DataError: a file is missing or unreadable, has several channels, another size, or a value
            that is no label id (train ids have 255), or an image has no or several predictions.
    """
    pairs = pair_cityscapes(gt_folder, "_gtFine_labelIds.png", pred_folder, ".png")
    return count_all(_PixelCounts, _count_pair, pairs, num_workers, show_progress).compute()


def _count_pair(counts: _PixelCounts, pair: tuple[Path, Path]) -> None:
    truth_path, predicted_path = pair
    instance_path = truth_path.with_name(truth_path.name.replace("labelIds", "instanceIds"))
    truth, predicted = _read_labels(truth_path), _read_labels(predicted_path)
    instances = read_label_map(instance_path)
    with error_context(predicted_path):
        counts.update(predicted, truth)
    with error_context(instance_path):
        counts.update_instances(predicted, instances)


def _read_labels(path: Path) -> np.ndarray:
    label_map = read_label_map(path)
    if label_map.min() < 0 or label_map.max() >= len(_LABELS):
        y, x = np.argwhere((label_map < 0) | (label_map >= len(_LABELS)))[0]
        raise DataError(
            f"{path}: {label_map[y, x]} at pixel (y {y}, x {x}) is no label id of Cityscapes "
            f"(0..{len(_LABELS) - 1}); label ids are wanted, not train ids"
        )
    return label_map.astype(np.uint8)


class _PixelCounts:
    """The evaluator of the official tool's counts, of label ids and instance ids."""

    def __init__(self) -> None:
        self._semantic = SemanticIoU(CITYSCAPES)
        self._groups = np.zeros((len(GROUPS), len(GROUPS)), np.int64)
        # Pixels of instances, weighted so that each instance counts as one of average size.
        self._class_found, self._class_all = np.zeros((2, len(_LABELS)))
        self._group_found, self._group_all = np.zeros((2, len(GROUPS)))

    def update(self, predicted: np.ndarray, truth: np.ndarray) -> None:
        """Count two [H, W] uint8 maps of label ids."""
        classes = cv2.LUT(predicted, _CLASS_TABLE)
        ids = cv2.LUT(truth, _ID_TABLE)
        self._semantic.update(Prediction(classes, (), labels=classes), PanopticMap(ids, _SEGMENTS))
        true_labels, labels_there, lengths = joint_runs(truth, predicted)
        valid = _EVALUATED[true_labels]
        entries = _GROUP_OF_LABEL[true_labels] * len(GROUPS) + _GROUP_OF_LABEL[labels_there]
        table = np.bincount(entries[valid], lengths[valid], self._groups.size)
        self._groups += table.astype(np.int64).reshape(self._groups.shape)

    def update_instances(self, predicted: np.ndarray, instance_ids: np.ndarray) -> None:
        """Count how much of each instance has its label, and how much its category."""
        ids, there, lengths = joint_runs(instance_ids, predicted)
        single = ids > 1000  # others are stuff and groups
        instances, slots = np.unique(ids[single], return_inverse=True)
        instance_labels = instances // 1000
        _check_instances(instances)
        there, lengths, expected = there[single], lengths[single], instance_labels[slots]
        same_label = there == expected
        same_group = _GROUP_OF_LABEL[there] == _GROUP_OF_LABEL[expected]

        evaluated = _EVALUATED[instance_labels]
        sizes, found, group_found = (
            np.bincount(slots, lengths * chosen, len(instances))[evaluated]
            for chosen in (np.ones_like(same_label), same_label, same_group)
        )
        of_label = instance_labels[evaluated]
        average = np.array([AVERAGE_SIZES[id2label[int(label)].name] for label in of_label])
        of_group, weights = _GROUP_OF_LABEL[of_label], average / sizes
        self._class_found += np.bincount(of_label, found * weights, len(_LABELS))
        self._class_all += np.bincount(of_label, sizes * weights, len(_LABELS))
        self._group_found += np.bincount(of_group, group_found * weights, len(GROUPS))
        self._group_all += np.bincount(of_group, sizes * weights, len(GROUPS))

    def state(self) -> dict[str, np.ndarray]:
        return self._semantic.state() | {
            "groups": self._groups,
            "class_found": self._class_found,
            "class_all": self._class_all,
            "group_found": self._group_found,
            "group_all": self._group_all,
        }

    def merge(self, state: Mapping[str, np.ndarray]) -> None:
        self._semantic.merge(state)
        self._groups += state["groups"]
        self._class_found += state["class_found"]
        self._class_all += state["class_all"]
        self._group_found += state["group_found"]
        self._group_all += state["group_all"]

    def compute(self) -> dict[str, Any]:
        results = self._semantic.compute()
        scores = {
            "Classes": ("classScores", self._class_scores(results)),
            "Categories": ("categoryScores", self._category_scores()),
            "InstClasses": ("classInstScores", self._class_instance_scores()),
            "InstCategories": ("categoryInstScores", self._category_instance_scores()),
        }
        for what, (key, values) in scores.items():
            results[key] = values
            results[f"averageScore{what}"] = mean_of_known(np.array(list(values.values())))
        return results

    def _class_scores(self, results: Mapping[str, Any]) -> dict[str, float]:
        nothing = float("nan")
        return {label.name: results["per_class"].get(label.name, nothing) for label in _LABELS}

    def _category_scores(self) -> dict[str, float]:
        confusion = self._semantic.state()["confusion"]
        scores = {}
        for index, name in enumerate(GROUPS):
            member = np.isin(_GROUP_OF_CLASS, index)
            found = confusion[member][:, :-1][:, member].sum()
            annotated, predicted = confusion[member].sum(), confusion[:, :-1][:, member].sum()
            scores[name] = float(ratio(found, annotated + predicted - found))
        return scores

    def _class_instance_scores(self) -> dict[str, float]:
        confusion = self._semantic.state()["confusion"][:, :-1]
        false_alarms = confusion.sum(axis=0) - np.diagonal(confusion)
        scores = dict.fromkeys((label.name for label in _LABELS), float("nan"))
        for index in CITYSCAPES.thing_ids:
            label = LABEL_IDS[index]
            whole = self._class_all[label] + false_alarms[index]
            scores[_LABELS[label].name] = float(ratio(self._class_found[label], whole))
        return scores

    def _category_instance_scores(self) -> dict[str, float]:
        false_alarms = self._groups.sum(axis=0) - np.diagonal(self._groups)
        scores = dict.fromkeys(GROUPS, float("nan"))
        for name in _GROUPS_OF_INSTANCES:
            index = GROUPS.index(name)
            whole = self._group_all[index] + false_alarms[index]
            scores[name] = float(ratio(self._group_found[index], whole))
        return scores


def _check_instances(instances: np.ndarray) -> None:
    for value in instances.tolist():
        label = id2label.get(value // 1000)
        if label is None or not (label.ignoreInEval or label.hasInstances):
            raise DataError(
                f"id {value} is no instance: label {value // 1000} "
                + ("does not exist" if label is None else f"({label.name}) has none")
            )
