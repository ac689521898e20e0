"""The highest-scoring boxes of a region proposal network."""

from __future__ import annotations

from collections.abc import Sequence

import paddle

from panoptic_deeplab.models.roi.boxes import BoxCoder, area, clip_boxes, kept_by_nms
from panoptic_deeplab.models.roi.precision import in_single_precision
from panoptic_deeplab.models.roi.rpn import Level


@paddle.no_grad()
@in_single_precision
def propose(
    levels: Sequence[Level],
    bounds: paddle.Tensor,
    *,
    candidates: int,
    count: int,
    nms_threshold: float,
    min_side: float,
) -> list[paddle.Tensor]:
    """For each image [K, 4], best first: non-maximum suppression of the best `candidates` of each
    level, then the best `count` of all levels.

    Boxes that lie outside their bounds altogether are left out; without any other the bounds are
    the only proposal.

    Args:
        levels: predictions of the network.
        bounds: [N, 4], the boxes that proposals are clipped to.
        candidates: anchors looked at in each level.
        count: maximum number of proposals.
        nms_threshold: IoU above which the lower-scoring box is dropped.
        min_side: pixels that are left of a box outside its bounds.
    """
    proposals = []
    for image in range(bounds.shape[0]):
        kept_logits, kept_boxes = [], []
        for level in levels:
            logits, boxes = _best_of_level(level, image, bounds[image], candidates, min_side)
            kept = _kept(boxes, nms_threshold)
            kept_logits.append(logits.gather(kept))
            kept_boxes.append(boxes.gather(kept))
        logits, boxes = paddle.concat(kept_logits), paddle.concat(kept_boxes)
        if len(logits):
            proposals.append(boxes.gather(logits.topk(min(count, len(logits)))[1]))
        else:
            proposals.append(bounds[image : image + 1])
    return proposals


def _kept(boxes: paddle.Tensor, nms_threshold: float) -> paddle.Tensor:
    """Indices of those kept of the boxes [N, 4] that have an area, best first."""
    with_area = paddle.nonzero(area(boxes) > 0).flatten()
    return with_area.gather(kept_by_nms(boxes.gather(with_area), nms_threshold))


def _best_of_level(
    level: Level, image: int, bounds: paddle.Tensor, count: int, min_side: float
) -> tuple[paddle.Tensor, paddle.Tensor]:
    """Logits [K] and boxes [K, 4] of the highest-scoring anchors of an image, the highest first.

    Image by image: on a GPU Paddle's top-k of several rows reads a row again and again for its k
    values, that of a single axis a fixed number of times.
    """
    scores = level.logits[image]
    logits, indices = scores.topk(min(count, len(scores)))
    offsets, anchors = level.offsets[image].gather(indices), level.anchors.gather(indices)
    return logits, clip_boxes(BoxCoder().decode(anchors, offsets), bounds, min_side)
