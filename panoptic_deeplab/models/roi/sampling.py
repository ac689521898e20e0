"""Random samples of the candidates, balanced between positives and negatives."""

from __future__ import annotations

from typing import NamedTuple

import paddle

from panoptic_deeplab.models.roi.matching import NEGATIVE, POSITIVE


class Sampled(NamedTuple):
    """Sampled candidates, positives first.

    Attributes:
        indices: [K] int64, rows of the candidates.
        is_chosen: [K] bool, False where there were too few to fill K.
    """

    indices: paddle.Tensor
    is_chosen: paddle.Tensor


@paddle.no_grad()
def sample(labels: paddle.Tensor, count: int, positive_fraction: float) -> Sampled:
    """At most `count` of the candidates, at most `positive_fraction` of `count` positive.

    Negatives fill up what positives leave. Each subset is as likely as any other; the random draws
    follow from `paddle.seed`. Nothing is read back to the host: where there are too few, rows that
    are not chosen fill up to `count` or to the number of candidates.

    Args:
        labels: [A] POSITIVE, NEGATIVE, or anything else for neither.
        count: number of samples.
        positive_fraction: largest fraction of positives, 0..1.
    """
    candidates = labels.shape[0]
    draws = paddle.rand([candidates])
    positive = paddle.where(labels == POSITIVE, draws, -1.0)
    priority = paddle.where(labels == NEGATIVE, draws, -1.0)
    max_positives = min(int(count * positive_fraction), candidates)
    if max_positives:
        value, index = positive.topk(max_positives)
        raised = paddle.where(value >= 0, value + 2, priority.gather(index))
        priority = priority.scatter(index, raised)
    value, indices = priority.topk(min(count, candidates))
    return Sampled(indices, value >= 0)
