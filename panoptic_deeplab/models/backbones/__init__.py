"""Backbones that PaddleSeg has in another form; all of its own can be named as they are."""

from panoptic_deeplab.models.backbones.efficientnet import EfficientNet
from panoptic_deeplab.models.backbones.hrnet import HRNetPyramid

__all__ = ["EfficientNet", "HRNetPyramid"]
