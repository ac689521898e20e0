"""The instances that are kept of the classes and boxes of all regions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import paddle
import paddle.nn.functional as F

from panoptic_deeplab.models.roi.align import image_of
from panoptic_deeplab.models.roi.boxes import BoxCoder, clip_boxes, kept_by_nms
from panoptic_deeplab.models.roi.precision import in_single_precision


class Detections(NamedTuple):
    """The instances of a batch, image after image, the highest-scoring first in each.

    Attributes:
        boxes: [K, 4].
        scores: [K], probability of the class.
        labels: [K] int64, 1..T.
        counts: how many are in each image.
    """

    boxes: paddle.Tensor
    scores: paddle.Tensor
    labels: paddle.Tensor
    counts: list[int]


@paddle.no_grad()
@in_single_precision
def detect(
    regions: Sequence[paddle.Tensor],
    logits: paddle.Tensor,
    offsets: paddle.Tensor,
    bounds: paddle.Tensor,
    *,
    coder: BoxCoder,
    score_threshold: float,
    nms_threshold: float,
    class_agnostic_nms: bool,
    max_instances: int,
    min_side: float,
) -> Detections:
    """Keep the boxes that overlap no higher-scoring box, of the same class or of any.

    Args:
        regions: for each image its boxes [R_i, 4].
        logits: [R, T + 1] of all regions.
        offsets: [R, T + 1, 4] of all regions.
        bounds: [N, 4], the boxes that detections are clipped to.
        coder: of the offsets.
        score_threshold: probability that an instance must exceed.
        nms_threshold: IoU above which the lower-scoring box is dropped.
        class_agnostic_nms: boxes of other classes count too.
        max_instances: maximum number of instances per image.
        min_side: pixels that are left of a box outside its bounds.
    """
    scores = F.softmax(logits)[:, 1:]
    region, thing = paddle.nonzero(scores > score_threshold).unbind(1)
    image = image_of([boxes.shape[0] for boxes in regions]).gather(region)
    scores = scores[region, thing]
    boxes = coder.decode(paddle.concat(list(regions)).gather(region), offsets[region, thing + 1])
    boxes = clip_boxes(boxes, bounds.gather(image), min_side)
    group = paddle.zeros_like(thing) if class_agnostic_nms else thing
    chosen = [
        _kept(paddle.nonzero(image == i).flatten(), boxes, scores, group, nms_threshold)[
            :max_instances
        ]
        for i in range(len(regions))
    ]
    kept = paddle.concat(chosen)
    return Detections(
        boxes.gather(kept),
        scores.gather(kept),
        thing.gather(kept) + 1,
        [indices.shape[0] for indices in chosen],
    )


def _kept(
    indices: paddle.Tensor,
    boxes: paddle.Tensor,
    scores: paddle.Tensor,
    group: paddle.Tensor,
    threshold: float,
) -> paddle.Tensor:
    """The `indices` of one image that stay, best first; boxes of different groups never overlap."""
    if indices.shape[0] == 0:
        return indices
    indices = indices.gather(scores.gather(indices).argsort(descending=True, stable=True))
    mine = boxes.gather(indices)
    apart = group.gather(indices).astype("float32") * (mine.max() + 1)
    return indices.gather(kept_by_nms(mine + apart.unsqueeze(1), threshold))
