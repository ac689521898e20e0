"""Training targets of each method, made from the ids of a sample."""

from panoptic_deeplab.targets.center_offset import CenterOffsetTargets
from panoptic_deeplab.targets.instances import InstanceTargets
from panoptic_deeplab.targets.solo_grid import SoloGridTargets

__all__ = ["CenterOffsetTargets", "InstanceTargets", "SoloGridTargets"]
