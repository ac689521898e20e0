"""Means over the whole batch of a step, distributed over the processes.

Gradients are averaged over the processes. So that this average is the gradient of the whole
batch's loss, a mean is taken as the local sum over the *average* of the processes' weights: the
mean of those local values is the mean over everything.
"""

from __future__ import annotations

from collections.abc import Callable

import paddle
import paddle.distributed as dist


def weighted_mean(errors: paddle.Tensor, weights: paddle.Tensor) -> paddle.Tensor:
    """Mean of `errors` under `weights` of the same shape; 0 where all weights are 0."""
    total = _mean_over_ranks(weights.sum())
    return (errors * weights).sum() / paddle.where(total > 0, total, paddle.ones_like(total))


def hardest_mean_of(
    losses_at: Callable[[paddle.Tensor], paddle.Tensor],
    count: int,
    fraction: float,
    rounded: Callable[[float], int] = int,
) -> paddle.Tensor:
    """Mean of the largest rounded(fraction * count) of `count` losses, of at least one loss.

    Over several processes, each with `count` losses, these are the largest of all processes. All
    losses are computed once, in pieces, to find the hardest; then these are computed again, and the
    backward pass holds only them.

    Args:
        losses_at: indices [K] int64 in 0..count-1 -> their losses [K].
        count: number of losses on this process.
        fraction: fraction of the losses that are kept, 0..1.
        rounded: rounds the number of kept losses.
    """
    kept = _kept(count, fraction, rounded)
    with paddle.no_grad():
        pieces = [
            losses_at(paddle.arange(start, min(start + LOSSES_AT_ONCE, count)))
            for start in range(0, count, LOSSES_AT_ONCE)
        ]
        hardest = paddle.concat(pieces).topk(min(kept, count), sorted=False)[1]
    return _mean_of_largest(losses_at(hardest), kept)


LOSSES_AT_ONCE = 1 << 17
"""Losses in a piece: their logits take little memory, 10 MB with 20 classes."""


def _kept(count: int, fraction: float, rounded: Callable[[float], int]) -> int:
    """Return the number of losses that are kept over all processes."""
    return max(rounded(fraction * count * dist.get_world_size()), 1)


def _mean_of_largest(losses: paddle.Tensor, kept: int) -> paddle.Tensor:
    """Mean of the largest `kept` losses of all processes; ties at the threshold count in part."""
    ranks = dist.get_world_size()
    if ranks == 1:
        return losses.topk(kept, sorted=False)[0].mean()
    candidates = _gather(losses.detach().topk(min(kept, losses.shape[0]))[0])
    threshold = candidates.topk(kept)[0][-1]
    wanted = kept - (candidates > threshold).astype("float32").sum()
    tied = (losses == threshold).astype("float32")
    fraction = wanted / (_mean_over_ranks(tied.sum()) * ranks)
    weights = (losses > threshold).astype("float32") + tied * fraction
    return (losses * weights).sum() * ranks / kept


def _mean_over_ranks(value: paddle.Tensor) -> paddle.Tensor:
    if dist.get_world_size() == 1:
        return value
    value = value.detach()
    dist.all_reduce(value)
    return value / dist.get_world_size()


def _gather(values: paddle.Tensor) -> paddle.Tensor:
    parts: list[paddle.Tensor] = []
    dist.all_gather(parts, values)
    return paddle.concat(parts)
