"""Geometry and color; each transform keeps image, ids and frame consistent."""

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
