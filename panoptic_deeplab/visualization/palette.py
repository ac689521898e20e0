"""The color of every class and instance."""

from __future__ import annotations

import colorsys

from panoptic_deeplab.errors import DataError
from panoptic_deeplab.structures import Category, DatasetInfo

VOID_COLOR = (0, 0, 0)

_LIGHTNESS = (0.32, 0.74)  # darker shades vanish in the image, lighter ones in the outlines
_HUE_RANGE = 0.045  # a fraction of the color circle: instances differ, but keep the class's color
# Multiples of these, modulo 1, fill the square evenly however many are taken:
# M. Roberts, "The unreasonable effectiveness of quasirandom sequences" (R2).
_STEPS = (0.7548776662466927, 0.5698402909980532)


def instance_color(category: int, index: int, info: DatasetInfo) -> tuple[int, int, int]:
    """The color of the `index`-th instance (from 0) of a class.

    The first has the class's own color, the others are shades of it: lightness and hue walk
    along a low-discrepancy sequence, so that consecutive instances differ clearly.

    Raises:
        DataError: `info` has no such category.
    """
    base = category_of(category, info).color
    if index == 0:
        return base
    hue, lightness, saturation = colorsys.rgb_to_hls(*(value / 255 for value in base))
    darkest, lightest = _LIGHTNESS
    start = (lightness - darkest) / (lightest - darkest)
    position = (min(max(start, 0.0), 1.0) + index * _STEPS[0]) % 1
    hue_shift = _HUE_RANGE * (2 * ((0.5 + index * _STEPS[1]) % 1) - 1)
    shade = colorsys.hls_to_rgb(
        (hue + hue_shift) % 1, darkest + position * (lightest - darkest), saturation
    )
    red, green, blue = (round(255 * value) for value in shade)
    return red, green, blue


def category_of(category: int, info: DatasetInfo) -> Category:
    """The class with that index.

    Raises:
        DataError: there is none.
    """
    if not 0 <= category < info.num_classes:
        raise DataError(
            f"category {category} is unknown to {info.name}; expected a class index "
            f"0..{info.num_classes - 1}"
        )
    return info.categories[category]
