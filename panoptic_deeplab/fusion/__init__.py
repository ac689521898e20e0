"""Semantics and instances made one map."""

from panoptic_deeplab.fusion.adaptive import adaptive_fusion
from panoptic_deeplab.fusion.majority_vote import elect, fuse_by_majority, majority_vote

__all__ = ["adaptive_fusion", "elect", "fuse_by_majority", "majority_vote"]
