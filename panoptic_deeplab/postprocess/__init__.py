"""Postprocessors: from a network's outputs to predictions."""

from panoptic_deeplab.postprocess.adaptive_fusion import AdaptiveFusion
from panoptic_deeplab.postprocess.center_grouping import CenterGrouping
from panoptic_deeplab.postprocess.heuristic_fusion import HeuristicFusion
from panoptic_deeplab.postprocess.original_size_grouping import OriginalSizeGrouping
from panoptic_deeplab.postprocess.solo_fusion import SoloFusion
from panoptic_deeplab.postprocess.solo_instances import SoloInstances
from panoptic_deeplab.postprocess.sparse import find_centers, group_pixels

__all__ = [
    "AdaptiveFusion",
    "CenterGrouping",
    "HeuristicFusion",
    "OriginalSizeGrouping",
    "SoloFusion",
    "SoloInstances",
    "find_centers",
    "group_pixels",
]
