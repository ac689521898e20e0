"""Cityscapes: its classes and the ids its files use.

The tables are cityscapesscripts' own, so that nothing has to be kept in step with it.
"""

from __future__ import annotations

from cityscapesscripts.helpers.labels import labels

from panoptic_deeplab.structures import Category, DatasetInfo

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

LABEL_IDS = tuple(label.id for label in _EVALUATED)
"""Class index -> label id, as in `*_labelIds.png` and in submissions."""
