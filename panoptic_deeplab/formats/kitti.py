"""KITTI panoptic: Cityscapes' classes, and the ids its PNGs use.

A PNG holds RGB ids as in COCO panoptic (R + 256 G + 65536 B), without a JSON: below 1000 the id is
Cityscapes' label id of stuff or of a crowd, else it is label id * 1000 + k for instance k. As in
http://panoptic.cs.uni-freiburg.de, the data of https://arxiv.org/abs/2004.02307.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from cityscapesscripts.helpers.labels import id2label

from panoptic_deeplab.errors import DataError, refuse
from panoptic_deeplab.formats.cityscapes import INSTANCES_OF_A_CLASS, WITH_LABEL_IDS
from panoptic_deeplab.formats.images import read_ids
from panoptic_deeplab.formats.measures import measure_ids
from panoptic_deeplab.structures import VOID_ID, Segment

KITTI = replace(WITH_LABEL_IDS, name="KITTI")
"""Cityscapes' 19 evaluated classes; the official id is the label id."""

IMAGE_SIZE = (384, 1280)
"""(height, width) at which the labels are used."""


def read_annotation(path: str | Path) -> tuple[np.ndarray, list[Segment]]:
    """The ids of a PNG and those of them that are segments.

    Ids of labels that are not evaluated have none: they are void. Of the areas nothing is known.

    Returns:
        ids [H, W] int32 as in the file; segments by ascending id.

    Raises:
        DataError: the file is no RGB PNG, or an id stands for no label of Cityscapes.
    """
    ids = read_ids(path)
    measures = measure_ids(ids)
    segments = []
    for value, (y, x) in zip(measures.ids.tolist(), measures.first.tolist(), strict=True):
        is_instance = value >= INSTANCES_OF_A_CLASS
        label_id = value // INSTANCES_OF_A_CLASS if is_instance else value
        if label_id not in id2label:
            refuse(
                DataError(
                    f"{path}: id {value} at pixel (y {y}, x {x}) stands for label id {label_id}, "
                    "which Cityscapes lacks; expected a label id, or label id * "
                    f"{INSTANCES_OF_A_CLASS} + k",
                    kind="unknown category",
                    file=path,
                    segment_id=value,
                    pixel=(y, x),
                )
            )
        category = KITTI.index_of_official_id.get(label_id)
        if value != VOID_ID and category is not None:
            is_crowd = KITTI.categories[category].is_thing and not is_instance
            segments.append(Segment(value, category, is_crowd))
    return ids, segments
