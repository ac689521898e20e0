"""Geometry and color; each transform keeps image, ids and frame consistent."""

from panoptic_deeplab.transforms.color import RandomDistort
from panoptic_deeplab.transforms.geometry import (
    Padding,
    PaddingToMultiple,
    RandomHorizontalFlip,
    RandomPaddingCrop,
    Resize,
    ResizeShortestEdge,
    ResizeStepScaling,
)

__all__ = [
    "Padding",
    "PaddingToMultiple",
    "RandomDistort",
    "RandomHorizontalFlip",
    "RandomPaddingCrop",
    "Resize",
    "ResizeShortestEdge",
    "ResizeStepScaling",
]
