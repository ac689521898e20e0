"""Semantics and instances made one map."""

from panoptic_deeplab.fusion.majority_vote import fuse_by_majority, majority_vote

__all__ = ["fuse_by_majority", "majority_vote"]
