"""Images of predictions and outputs: overlays, class and instance maps, heatmaps, offsets.

Arrays in, arrays out: every image is [H, W, 3] uint8 RGB. Nothing here is random, so that two
images of one result agree in every color.
"""

from panoptic_deeplab.visualization.fields import draw_field, draw_heatmap, draw_offsets
from panoptic_deeplab.visualization.maps import draw_instances, draw_semantic
from panoptic_deeplab.visualization.palette import instance_color
from panoptic_deeplab.visualization.panoptic import draw_panels, draw_panoptic, draw_segments
from panoptic_deeplab.visualization.sheet import side_by_side

__all__ = [
    "draw_field",
    "draw_heatmap",
    "draw_instances",
    "draw_offsets",
    "draw_panels",
    "draw_panoptic",
    "draw_segments",
    "draw_semantic",
    "instance_color",
    "side_by_side",
]
