"""Cityscapes: its classes and the ids its files use.

The tables are cityscapesscripts' own, so the two cannot disagree.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from cityscapesscripts.helpers.labels import Label, id2label, labels, name2label

from panoptic_deeplab.errors import DataError, nearest, raise_or_collect
from panoptic_deeplab.formats.images import read_label_map
from panoptic_deeplab.id_maps import measure_ids
from panoptic_deeplab.structures import VOID_ID, Category, DatasetInfo, PanopticMap, Segment

_EVALUATED = sorted(
    (label for label in labels if 0 <= label.trainId < 255), key=lambda label: label.trainId
)

CITYSCAPES = DatasetInfo(
    name="Cityscapes",
    categories=tuple(
        Category(label.name, label.hasInstances, tuple(label.color), label.trainId)
        for label in _EVALUATED
    ),
)
"""The 19 evaluated classes; the class index is the trainId, which is also what the files that
`csCreatePanopticImgs --use-train-id` writes call `category_id`."""

LABELS = {label.id: label.name for label in labels if label.id >= 0}
"""Label id -> name, of all labels that files can hold."""

LABEL_IDS = tuple(label.id for label in _EVALUATED)
"""Class index -> label id, as in `*_labelIds.png` and in submissions."""

WITH_LABEL_IDS = replace(
    CITYSCAPES,
    categories=tuple(
        replace(category, official_id=label_id)
        for category, label_id in zip(CITYSCAPES.categories, LABEL_IDS, strict=True)
    ),
)
"""The same classes under the ids that submissions, and KITTI, use."""

INSTANCES_OF_A_CLASS = 1000
"""Instance k of a class is labelId * 1000 + k."""


@dataclass(frozen=True)
class LabelTable:
    """What the label ids of files stand for.

    Attributes:
        info: the classes.
        class_of_label: label id -> class index, None for what is left void.
    """

    info: DatasetInfo
    class_of_label: Mapping[int, int | None]


CITYSCAPES_LABELS = LabelTable(
    CITYSCAPES,
    {label.id: None if label.ignoreInEval else label.trainId for label in id2label.values()},
)


def read_instance_ids(path: str | Path) -> np.ndarray:
    """Read an `*_instanceIds.png`: [H, W] int32.

    Raises:
        DataError: the file is missing, or not an image with one channel of whole numbers.
    """
    return read_label_map(path).astype(np.int32)


def panoptic_of_instance_ids(
    values: np.ndarray, path: str | Path, table: LabelTable = CITYSCAPES_LABELS
) -> PanopticMap:
    """Make of instance ids the map that `csCreatePanopticImgs` makes.

    Args:
        values: [H, W] whole numbers: below 1000 the labelId of stuff or of a crowd, else
            labelId * 1000 + k.
        path: the file they come from, for errors.
        table: what the labels are.

    Returns:
        The ids are the values themselves, 0 where the label is not evaluated; the segments, with
        their areas, by ascending id.

    Raises:
        DataError: a value belongs to no label.
    """
    measures = measure_ids(values)
    segments = []
    for value, area, pixel in zip(
        measures.ids.tolist(), measures.areas.tolist(), measures.first, strict=True
    ):
        plain = value < INSTANCES_OF_A_CLASS
        label = value if plain else value // INSTANCES_OF_A_CLASS
        if label not in table.class_of_label:
            y, x = pixel.tolist()
            raise_or_collect(
                DataError(
                    f"{path}: id {value} at pixel (y {y}, x {x}) is no instance id of "
                    f"{table.info.name} (labelId, or labelId * 1000 + k)",
                    kind="unknown category",
                    file=path,
                    segment_id=value,
                    pixel=(y, x),
                )
            )
            continue
        category = table.class_of_label[label]
        if category is not None:
            iscrowd = plain and table.info.categories[category].is_thing
            segments.append(Segment(value, category, iscrowd, area))
    ids = PanopticMap(values, segments)
    return PanopticMap(_painted(ids, [segment.id for segment in segments], np.int32), segments)


def label_id_map(panoptic: PanopticMap, info: DatasetInfo) -> np.ndarray:
    """Make the map of an `*_labelIds.png`: [H, W] uint8 label ids, 0 (unlabeled) where void.

    Args:
        panoptic: ids [H, W] and segments.
        info: its classes; they are Cityscapes' by their names, in any order.

    Raises:
        DataError: a segment's class is none of Cityscapes'.
    """
    return _painted(panoptic, [label.id for label in _labels_of(panoptic, info)], np.uint8)


def instance_id_map(panoptic: PanopticMap, info: DatasetInfo) -> np.ndarray:
    """Make the map of an `*_instanceIds.png`: [H, W] uint16 instance ids, 0 where void.

    A thing is labelId * 1000 + k, numbered from 0 in the order of the segments; stuff and crowds
    are the plain labelId, so that several of a class become one.

    Args:
        panoptic: ids [H, W] and segments.
        info: its classes; they are Cityscapes' by their names, in any order.

    Raises:
        DataError: a segment's class is none of Cityscapes', or has more than 1000 instances.
    """
    counts: dict[str, int] = {}
    values = []
    for segment, label in zip(panoptic.segments, _labels_of(panoptic, info), strict=True):
        if segment.iscrowd or not label.hasInstances:
            values.append(label.id)
            continue
        number = counts.get(label.name, 0)
        if number == INSTANCES_OF_A_CLASS:
            raise DataError(
                f"more than {INSTANCES_OF_A_CLASS} instances of {label.name}, which Cityscapes' "
                "instance ids cannot number"
            )
        counts[label.name] = number + 1
        values.append(label.id * INSTANCES_OF_A_CLASS + number)
    return _painted(panoptic, values, np.uint16)


def _labels_of(panoptic: PanopticMap, info: DatasetInfo) -> list[Label]:
    return [label_named(info.categories[segment.category].name) for segment in panoptic.segments]


def label_named(name: str) -> Label:
    """Find Cityscapes' own entry for a class that its files can hold.

    Raises:
        DataError: there is none.
    """
    label = name2label.get(name)
    if label is None or label.id < 0:
        raise DataError(f"{name!r} is no class of Cityscapes{nearest(name, name2label)}")
    return label


def _painted(panoptic: PanopticMap, values: list[int], dtype: type[np.integer]) -> np.ndarray:
    """[H, W] each segment's value at its pixels, 0 elsewhere."""
    table = np.zeros(int(panoptic.ids.max(initial=VOID_ID)) + 1, dtype)
    for segment, value in zip(panoptic.segments, values, strict=True):
        if segment.id < len(table):
            table[segment.id] = value
    return table[panoptic.ids]
