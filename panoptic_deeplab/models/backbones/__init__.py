"""Backbones that PaddleSeg does not have in this form; all of PaddleSeg's can be named too."""

from panoptic_deeplab.models.backbones.efficientnet import EfficientNet
from panoptic_deeplab.models.backbones.hrnet import HRNetPyramid
from panoptic_deeplab.models.backbones.resnet import ResNet

__all__ = ["EfficientNet", "HRNetPyramid", "ResNet"]
