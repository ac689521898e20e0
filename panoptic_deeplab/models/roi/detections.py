"""From the classes and boxes of all regions to the instances that are kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import paddle
import paddle.nn.functional as F

from panoptic_deeplab.models.roi.align import image_of
from panoptic_deeplab.models.roi.boxes import BoxCoder, clip_boxes, kept_by_nms
from panoptic_deeplab.models.roi.precision import in_single_precision


class Detections(NamedTuple):
    """The instances of a batch, those of the first image first, best first within it.

    Attributes:
        boxes: [K, 4].
        scores: [K], probability of the class.
        labels: [K] int64, 1..T.
        counts: how many are of each image.
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
    most: int,
    least: float,
) -> Detections:
    """The likely boxes of each class that overlap no likelier one of the same class.

    Args:
        regions: for each image its boxes [R_i, 4].
        logits: [R, T + 1] for all of them.
        offsets: [R, T + 1, 4] likewise.
        bounds: [N, 4], the boxes that detections are clipped to.
        coder: of the offsets.
        score_threshold: probability to exceed.
        nms_threshold: IoU above which the less likely box is dropped.
        most: instances kept in an image.
        least: side that is left of a box outside of its bounds.
    """
    scores = F.softmax(logits)[:, 1:]
    region, thing = paddle.nonzero(scores > score_threshold).unbind(1)
    image = image_of([boxes.shape[0] for boxes in regions]).gather(region)
    scores = scores[region, thing]
    boxes = coder.decode(paddle.concat(list(regions)).gather(region), offsets[region, thing + 1])
    boxes = clip_boxes(boxes, bounds.gather(image), least)
    chosen = [
        _kept(paddle.nonzero(image == i).flatten(), boxes, scores, thing, nms_threshold)[:most]
        for i in range(len(regions))
    ]
    places = paddle.concat(chosen)
    return Detections(
        boxes.gather(places),
        scores.gather(places),
        thing.gather(places) + 1,
        [places.shape[0] for places in chosen],
    )


def _kept(
    places: paddle.Tensor,
    boxes: paddle.Tensor,
    scores: paddle.Tensor,
    thing: paddle.Tensor,
    threshold: float,
) -> paddle.Tensor:
    """Which of the `places` of one image stay, best first."""
    if places.shape[0] == 0:
        return places
    places = places.gather(scores.gather(places).argsort(descending=True, stable=True))
    mine = boxes.gather(places)
    apart = thing.gather(places).astype("float32") * (mine.max() + 1)  # classes never overlap
    return places.gather(kept_by_nms(mine + apart.unsqueeze(1), threshold))
