"""From a network's outputs to predictions, one step of the paper a function."""

from panoptic_deeplab.postprocess.center_grouping import (
    CenterGrouping,
    find_centers,
    group_pixels,
)

__all__ = ["CenterGrouping", "find_centers", "group_pixels"]
