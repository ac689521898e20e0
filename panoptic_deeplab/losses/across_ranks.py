"""Averages over the whole batch of a step, whichever process holds its parts.

Gradients are averaged over the processes. So that this average is the gradient of the whole
batch's loss, a mean is taken as the local sum over the *average* of the processes' weights: the
mean of those local values is the mean over everything.
"""

from __future__ import annotations

import paddle
import paddle.distributed as dist


def weighted_mean(errors: paddle.Tensor, weights: paddle.Tensor) -> paddle.Tensor:
    """Mean of `errors` under `weights` of the same shape; 0 where all weights are 0."""
    total = _mean_over_ranks(weights.sum())
    return (errors * weights).sum() / paddle.where(total > 0, total, paddle.ones_like(total))


def hardest_mean(losses: paddle.Tensor, share: float) -> paddle.Tensor:
    """Mean of the largest int(share * count) of `losses` [N], at least one.

    Over several processes (each with N losses) these are the largest of all.
    """
    ranks = dist.get_world_size()
    kept = max(int(share * losses.shape[0] * ranks), 1)
    if ranks == 1:
        return losses.topk(kept, sorted=False)[0].mean()
    candidates = _gather(losses.detach().topk(min(kept, losses.shape[0]))[0])
    threshold = candidates.topk(kept)[0][-1]
    ties = kept - (candidates > threshold).astype("float32").sum()
    above = (losses * (losses > threshold).astype(losses.dtype)).sum()
    return (above * ranks + ties * threshold) / kept


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
