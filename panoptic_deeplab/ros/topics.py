"""What is published for an image, and under which topics, as OpenDR's panoptic nodes do it.

Following panoptic_segmentation_efficient_ps_node.py of https://github.com/opendr-eu/opendr
(Apache-2.0).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from panoptic_deeplab.result import Result
from panoptic_deeplab.visualization import draw_panels, side_by_side

Draw = Callable[[Result], np.ndarray]


def drawn_topics(
    heatmap_topic: str | None,
    visualization_topic: str | None,
    detailed: bool = False,
    tracked: bool = False,
) -> Mapping[str, Draw]:
    """Return what is published: topic -> function of the result that makes the image.

    Args:
        heatmap_topic: `/instance` below it gets the id of each pixel's segment, 0 for none;
            `/semantic` the index of its class, and the model's ignore index (255) for none. None:
            neither.
        visualization_topic: gets the overlay; None: nothing does.
        detailed: there, place image, classes, instances and overlay side by side.
        tracked: the ids are those of tracks, 0 where there is no thing.
    """
    drawn: dict[str, Draw] = {}
    if heatmap_topic is not None:
        drawn[f"{heatmap_topic}/instance"] = track_ids if tracked else segment_ids
        drawn[f"{heatmap_topic}/semantic"] = class_indices
    if visualization_topic is not None:
        drawn[visualization_topic] = overview if detailed else Result.plot
    return drawn


def segment_ids(result: Result) -> np.ndarray:
    """[H, W] int32 ids of the segments, those of stuff too."""
    return result.ids


def track_ids(result: Result) -> np.ndarray:
    """[H, W] int32 ids of the tracks, 0 where there is no thing."""
    table = np.zeros(int(result.ids.max(initial=0)) + 1, np.int32)
    for segment in result.prediction.segments:
        table[segment.id] = segment.track_id or 0
    return table[result.ids]


def class_indices(result: Result) -> np.ndarray:
    """[H, W] class of each pixel's segment, the ignore index where there is none."""
    return result.prediction.semantic(result.info.ignore_index)


def overview(result: Result) -> np.ndarray:
    """[H', W', 3] uint8 RGB: image, classes, instances and overlay."""
    panels = draw_panels(result.image, result.prediction, result.info)
    return side_by_side(list(panels.values()), list(panels))
