"""Training targets of each method, made from the ids of a sample."""

from panoptic_deeplab.targets.center_offset import CenterOffsetTargets
from panoptic_deeplab.targets.instances import InstanceTargets

__all__ = ["CenterOffsetTargets", "InstanceTargets"]
