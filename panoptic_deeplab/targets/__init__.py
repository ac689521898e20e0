"""What each method learns from, made of a sample's ids."""

from panoptic_deeplab.targets.center_offset import CenterOffsetTargets

__all__ = ["CenterOffsetTargets"]
