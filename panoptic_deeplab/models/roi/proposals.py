"""The highest-scoring boxes of a region proposal network."""

from __future__ import annotations

from collections.abc import Sequence

import paddle

from panoptic_deeplab.models.roi.boxes import BoxCoder, clip_boxes, kept_by_nms
from panoptic_deeplab.models.roi.precision import in_single_precision
from panoptic_deeplab.models.roi.rpn import Level


@paddle.no_grad()
@in_single_precision
def propose(
    levels: Sequence[Level],
    bounds: paddle.Tensor,
    *,
    count: int,
    nms_threshold: float,
    min_side: float,
) -> list[paddle.Tensor]:
    """For each image [K, 4], best first: non-maximum suppression of the `count` best of each level,
    then the `count` best of all levels.

    Args:
        levels: predictions of the network.
        bounds: [N, 4], the boxes that proposals are clipped to.
        count: maximum number of proposals.
        nms_threshold: IoU above which the lower-scoring box is dropped.
        min_side: pixels that are left of a box outside its bounds.
    """
    best = [_best_of_level(level, bounds, count, min_side) for level in levels]
    proposals = []
    for image in range(bounds.shape[0]):
        kept_logits, kept_boxes = [], []
        for logits, boxes in best:
            kept = kept_by_nms(boxes[image], nms_threshold)
            kept_logits.append(logits[image].gather(kept))
            kept_boxes.append(boxes[image].gather(kept))
        logits, boxes = paddle.concat(kept_logits), paddle.concat(kept_boxes)
        proposals.append(boxes.gather(logits.topk(min(count, logits.shape[0]))[1]))
    return proposals


def _best_of_level(
    level: Level, bounds: paddle.Tensor, count: int, min_side: float
) -> tuple[paddle.Tensor, paddle.Tensor]:
    """Logits [N, K] and boxes [N, K, 4] of the highest-scoring anchors, the highest first."""
    logits, indices = level.logits.topk(min(count, level.logits.shape[1]))
    offsets = paddle.take_along_axis(level.offsets, indices.unsqueeze(-1), 1, broadcast=True)
    anchors = level.anchors.gather(indices.flatten()).reshape([*indices.shape, 4])
    return logits, clip_boxes(BoxCoder().decode(anchors, offsets), bounds.unsqueeze(1), min_side)
