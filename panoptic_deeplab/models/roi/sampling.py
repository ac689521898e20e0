"""A random part of the candidates, so that positives are not drowned by negatives."""

from __future__ import annotations

from typing import NamedTuple

import paddle

from panoptic_deeplab.models.roi.matching import NEGATIVE, POSITIVE


class Sampled(NamedTuple):
    """Chosen candidates, positives first.

    Attributes:
        places: [K] int64, rows of the candidates.
        is_chosen: [K] bool, False where there were too few to fill K.
    """

    places: paddle.Tensor
    is_chosen: paddle.Tensor


@paddle.no_grad()
def sample(labels: paddle.Tensor, count: int, positive_share: float) -> Sampled:
    """At most `count` of the candidates, at most `positive_share` of `count` positive.

    Negatives fill up what positives leave. Each subset is as likely as any other; what is drawn
    follows from `paddle.seed`. Nothing is read back to the host: what is missing to `count` (or to
    all candidates, where these are fewer) is filled with rows that are not chosen.

    Args:
        labels: [A] POSITIVE, NEGATIVE, or anything else for neither.
        count: samples wanted.
        positive_share: 0..1.
    """
    candidates = labels.shape[0]
    lot = paddle.rand([candidates])
    positive = paddle.where(labels == POSITIVE, lot, -1.0)
    lots = paddle.where(labels == NEGATIVE, lot, -1.0)
    most = min(int(count * positive_share), candidates)
    if most:
        value, place = positive.topk(most)
        lots = lots.scatter(place, paddle.where(value >= 0, value + 2, lots.gather(place)))
    value, places = lots.topk(min(count, candidates))
    return Sampled(places, value >= 0)
