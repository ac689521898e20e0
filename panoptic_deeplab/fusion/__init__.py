"""Semantics and instances made one map."""

from panoptic_deeplab.fusion.adaptive import adaptive_fusion
from panoptic_deeplab.fusion.majority_vote import majority_vote, vote_from_counts

__all__ = ["adaptive_fusion", "majority_vote", "vote_from_counts"]
