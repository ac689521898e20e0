"""From the outputs of a network, at its stride, to the panoptic map of one image."""

from __future__ import annotations

import numpy as np

from panoptic_deeplab.fusion import vote_from_counts
from panoptic_deeplab.grouping_settings import GroupingSettings
from panoptic_deeplab.postprocess.sparse.centers import find_upsampled_centers
from panoptic_deeplab.postprocess.sparse.grid import Grid
from panoptic_deeplab.postprocess.sparse.instances import group_upsampled_pixels
from panoptic_deeplab.postprocess.sparse.labels import upsampled_labels
from panoptic_deeplab.postprocess.sparse.scores import with_scores
from panoptic_deeplab.structures import Prediction, smallest_label_type


def panoptic_map(
    logits: np.ndarray,
    center_heatmap: np.ndarray,
    offsets: np.ndarray,
    grid: Grid,
    settings: GroupingSettings,
) -> Prediction:
    """The prediction on the grid's box.

    Args:
        logits: [C, h, w] float32.
        center_heatmap: [h, w] float32.
        offsets: [2, h, w] float32, (y, x) in pixels of the network's input.
        grid: the box over the feature map.
        settings: of the grouping.
    """
    is_thing = settings.is_thing
    labels = upsampled_labels(logits, grid, smallest_label_type(settings.num_classes))
    centers = find_upsampled_centers(
        center_heatmap,
        grid,
        threshold=settings.threshold,
        nms_kernel=settings.nms_kernel,
        top_k=settings.top_k,
    )
    slots = group_upsampled_pixels(centers, offsets, labels, is_thing)
    counts = slots.counts((len(centers) + 1) * len(is_thing))
    table, segments = vote_from_counts(
        counts.reshape(-1, len(is_thing)),
        settings.thing_ids,
        settings.min_stuff_area,
    )
    ids = slots.painted(table.ravel())
    return Prediction(ids, with_scores(ids, segments, logits, grid), labels.painted())
