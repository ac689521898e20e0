"""BDD100K: its panoptic classes and its RGBA bitmasks.

Following https://doc.bdd100k.com/format.html#bitmask: R is the category, G = truncated << 3 |
occluded << 2 | crowd << 1 | ignored, and the instance is (B << 8) + A, 0 for background.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from panoptic_deeplab.errors import DataError
from panoptic_deeplab.formats.images import decoded
from panoptic_deeplab.structures import Category, DatasetInfo, PanopticMap, Segment

_STUFF = {
    "dynamic": (111, 74, 0),
    "ego vehicle": (0, 0, 0),
    "ground": (81, 0, 81),
    "static": (0, 0, 0),
    "parking": (250, 170, 160),
    "rail track": (230, 150, 140),
    "road": (128, 64, 128),
    "sidewalk": (244, 35, 232),
    "bridge": (150, 100, 100),
    "building": (70, 70, 70),
    "fence": (190, 153, 153),
    "garage": (180, 100, 180),
    "guard rail": (180, 165, 180),
    "tunnel": (150, 120, 90),
    "wall": (102, 102, 156),
    "banner": (250, 170, 100),
    "billboard": (220, 220, 250),
    "lane divider": (255, 165, 0),
    "parking sign": (220, 20, 60),
    "pole": (153, 153, 153),
    "polegroup": (153, 153, 153),
    "street light": (220, 220, 100),
    "traffic cone": (255, 70, 0),
    "traffic device": (220, 220, 220),
    "traffic light": (250, 170, 30),
    "traffic sign": (220, 220, 0),
    "traffic sign frame": (250, 170, 250),
    "terrain": (152, 251, 152),
    "vegetation": (107, 142, 35),
    "sky": (70, 130, 180),
}
_THINGS = {
    "person": (220, 20, 60),
    "rider": (255, 0, 0),
    "bicycle": (119, 11, 32),
    "bus": (0, 60, 100),
    "car": (0, 0, 142),
    "caravan": (0, 0, 90),
    "motorcycle": (0, 0, 230),
    "trailer": (0, 0, 110),
    "train": (0, 80, 100),
    "truck": (0, 0, 70),
}

BDD100K = DatasetInfo(
    name="BDD100K",
    categories=tuple(
        Category(name, name in _THINGS, color, number)
        for number, (name, color) in enumerate((_STUFF | _THINGS).items(), 1)
    ),
)
"""The 40 panoptic classes, all of them evaluated; the official id is the R of a bitmask."""

IMAGE_SIZE = (720, 1280)
"""(height, width) of every image."""

NO_CATEGORY = -1
IGNORED_OR_CROWD = 0b11


def read_bitmask(path: str | Path) -> PanopticMap:
    """The instances of a bitmask.

    Returns:
        ids [H, W] int32, the instances as they are numbered there; segments by ascending id, a
        crowd being what is marked as crowd or as ignored, and the category -1 where R is none of
        1..40.

    Raises:
        DataError: the file is missing, not an RGBA picture, or gives one instance several
            categories or attributes.
    """
    with decoded(path) as image:
        if image.mode != "RGBA":
            raise DataError(
                f"{path}: expected an RGBA bitmask of BDD100K, got a picture of mode {image.mode}"
            )
        rgba = np.asarray(image).astype(np.int64)
    category, attributes, high, low = np.moveaxis(rgba, -1, 0)
    ids = (high << 8) + low
    segments = [
        _segment(value)
        for value in _distinct(ids << 16 | category << 8 | attributes)
        if value >> 16
    ]
    for one, other in zip(segments, segments[1:], strict=False):
        if one.id == other.id:
            raise DataError(f"{path}: instance {one.id} has several categories or attributes")
    return PanopticMap(ids.astype(np.int32), segments)


def _distinct(values: np.ndarray) -> list[int]:
    """The values of a map, ascending; only those that differ from their left neighbour are sorted."""
    row = values.ravel()
    return np.unique(row[np.append(0, np.flatnonzero(row[1:] != row[:-1]) + 1)]).tolist()


def _segment(value: int) -> Segment:
    instance, official_id, attributes = value >> 16, value >> 8 & 0xFF, value & 0xFF
    category = BDD100K.index_of_official_id.get(official_id, NO_CATEGORY)
    return Segment(instance, category, iscrowd=bool(attributes & IGNORED_OR_CROWD))
