"""The grouping computed only where something can change; it equals `postprocess.plain`.

A prediction is constant over most of an image. `Grid` relates the feature map to the pixels;
squares of pixels in which nothing can change are decided at once, the others pixel by pixel.
"""

from panoptic_deeplab.postprocess.sparse.centers import find_centers
from panoptic_deeplab.postprocess.sparse.grid import Grid
from panoptic_deeplab.postprocess.sparse.labels import upsampled_labels
from panoptic_deeplab.postprocess.sparse.nearest_centers import group_pixels
from panoptic_deeplab.postprocess.sparse.panoptic_map import panoptic_map
from panoptic_deeplab.postprocess.sparse.scores import with_scores

__all__ = [
    "Grid",
    "find_centers",
    "group_pixels",
    "panoptic_map",
    "upsampled_labels",
    "with_scores",
]
