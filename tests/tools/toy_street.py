"""A data set of four classes that the tests of the comparison share."""

from __future__ import annotations

from panoptic_deeplab.structures import Category, DatasetInfo

ROAD, SKY, PERSON, CAR = range(4)
INFO = DatasetInfo(
    "street",
    tuple(
        Category(name, index >= PERSON, (60 * index, 0, 0), index)
        for index, name in enumerate(["road", "sky", "person", "car"])
    ),
)
