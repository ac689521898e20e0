"""Plain maps: one color per class, one color per instance."""

from __future__ import annotations

import numpy as np

from panoptic_deeplab.errors import DataError
from panoptic_deeplab.structures import DatasetInfo, PanopticMap
from panoptic_deeplab.visualization.palette import VOID_COLOR
from panoptic_deeplab.visualization.regions import RegionMap, thing_outlines

_OUTLINE = (255, 255, 255)


def draw_semantic(labels: np.ndarray, info: DatasetInfo) -> np.ndarray:
    """Draw class indices in the colors of their classes, void in black.

    Args:
        labels: [H, W] integers, 0..C-1 or `info.ignore_index`.
        info: the classes.

    Returns:
        [H, W, 3] uint8 RGB.

    Raises:
        DataError: another shape or type, or a label without a class.
    """
    if labels.ndim != 2 or not labels.size or not np.issubdtype(labels.dtype, np.integer):
        raise DataError(
            f"expected labels [H, W] of whole numbers, got {labels.dtype} {list(labels.shape)}"
        )
    classes = labels.astype(np.int64)
    void = classes == info.ignore_index
    unknown = ~void & ((classes < 0) | (classes >= info.num_classes))
    if unknown.any():
        raise DataError(
            f"label {classes[unknown][0]} is unknown to {info.name}; expected 0.."
            f"{info.num_classes - 1}, or {info.ignore_index} for void"
        )
    classes[void] = info.num_classes
    return np.vstack([info.colors, np.array([VOID_COLOR], np.uint8)])[classes]


def draw_instances(prediction: PanopticMap, info: DatasetInfo) -> np.ndarray:
    """Draw things in their shades with white outlines, everything else black.

    Args:
        prediction: a prediction or an annotation.
        info: the classes.

    Returns:
        [H, W, 3] uint8 RGB, of the size of the map.

    Raises:
        DataError: as `RegionMap.of`.
    """
    region_map = RegionMap.of(prediction, info)
    colors = np.where(region_map.is_thing[:, None], region_map.colors, np.uint8(0))
    image = colors[region_map.index]
    image[thing_outlines(region_map)] = _OUTLINE
    return image
