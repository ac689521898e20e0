"""Geometry and colour; each transform keeps picture, ids and frame together."""

from panoptic_deeplab.transforms.color import RandomDistort
from panoptic_deeplab.transforms.geometry import (
    Padding,
    RandomHorizontalFlip,
    RandomPaddingCrop,
    Resize,
    ResizeStepScaling,
)

__all__ = [
    "Padding",
    "RandomDistort",
    "RandomHorizontalFlip",
    "RandomPaddingCrop",
    "Resize",
    "ResizeStepScaling",
]
