"""Criteria, one per method: outputs and targets to named, weighted losses."""

from panoptic_deeplab.losses.efficientps import EfficientPSLoss
from panoptic_deeplab.losses.panoptic_deeplab import PanopticDeepLabLoss
from panoptic_deeplab.losses.panoptic_fpn import PanopticFPNLoss
from panoptic_deeplab.losses.solo import EfficientPSSoloLoss, SOLOv2Loss

__all__ = [
    "EfficientPSLoss",
    "EfficientPSSoloLoss",
    "PanopticDeepLabLoss",
    "PanopticFPNLoss",
    "SOLOv2Loss",
]
