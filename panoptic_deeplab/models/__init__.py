"""Networks; one file each, their parts beside them."""

from panoptic_deeplab.models.efficientps import EfficientPS
from panoptic_deeplab.models.efficientps_solo import EfficientPSSolo
from panoptic_deeplab.models.panoptic_deeplab import PanopticDeepLab
from panoptic_deeplab.models.panoptic_deeplab_lite import PanopticDeepLabLite
from panoptic_deeplab.models.panoptic_fpn import PanopticFPN
from panoptic_deeplab.models.solov2 import SOLOv2

__all__ = [
    "EfficientPS",
    "EfficientPSSolo",
    "PanopticDeepLab",
    "PanopticDeepLabLite",
    "PanopticFPN",
    "SOLOv2",
]
