"""What each method learns from, made of a sample's ids."""

from panoptic_deeplab.targets.center_offset import CenterOffsetTargets
from panoptic_deeplab.targets.instances import InstanceTargets

__all__ = ["CenterOffsetTargets", "InstanceTargets"]
