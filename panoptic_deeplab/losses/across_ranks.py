"""Means over the whole batch of a step, distributed over the processes.

Gradients are averaged over the processes. So that this average is the gradient of the whole
batch's loss, a mean is taken as the local sum over the *average* of the processes' weights: the
mean of those local values is the mean over everything.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import paddle
import paddle.distributed as dist

from panoptic_deeplab.device import on_gpu


def weighted_mean(errors: paddle.Tensor, weights: paddle.Tensor) -> paddle.Tensor:
    """Mean of `errors` under `weights` of the same shape; 0 where all weights are 0."""
    return mean_of_total((errors * weights).sum(), weights.sum())


def mean_of_total(total: paddle.Tensor, count: paddle.Tensor, more: float = 0.0) -> paddle.Tensor:
    """`total` of all processes over (`count` of all processes + `more`); 0 where that is 0."""
    divisor = _mean_over_ranks(count) + more / dist.get_world_size()
    return total / paddle.where(divisor > 0, divisor, paddle.ones_like(divisor))


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
        losses_at: indices [K] int64 in 0..count-1 -> their losses [K], not negative.
        count: number of losses on this process.
        fraction: fraction of the losses that are kept, 0..1.
        rounded: rounds the number of kept losses.
    """
    ranks = dist.get_world_size()
    kept = max(rounded(fraction * count * ranks), 1)
    hardest, weights = _hardest(_all_losses(losses_at, count), kept)
    return (losses_at(hardest) * weights).sum() * ranks / kept


@paddle.no_grad()
def _all_losses(losses_at: Callable[[paddle.Tensor], paddle.Tensor], count: int) -> paddle.Tensor:
    at_once = LOSSES_AT_ONCE_ON_GPU if on_gpu() else LOSSES_AT_ONCE
    starts = range(0, count, at_once)
    return paddle.concat([losses_at(paddle.arange(i, min(i + at_once, count))) for i in starts])


LOSSES_AT_ONCE, LOSSES_AT_ONCE_ON_GPU = 1 << 17, 1 << 19
"""Losses in a piece: their logits take little memory, 10 and 40 MB with 20 classes."""


@paddle.no_grad()
def _hardest(losses: paddle.Tensor, kept: int) -> tuple[paddle.Tensor, paddle.Tensor]:
    """Find the largest `kept` losses of all processes.

    Only numbers of losses travel between the processes, and only the indices wait for the device.
    (Paddle's top-k runs in one block of threads on a GPU where a tensor is long and has one axis.)

    Args:
        losses: [L], not negative.
        kept: at most all losses of all processes.

    Returns:
        indices [K] int64 of those on this process, and their weights [K]: 1, and less for losses
        equal to the smallest kept one, which share what the larger ones leave. Where all are on
        other processes it is index 0 with the weight 0.
    """
    # As whole numbers, the bits of floats that are not negative have the order of the floats.
    bits = paddle.where(losses.isnan(), paddle.full([1], math.inf), losses).abs().view("int32")
    threshold = _kth_largest(bits, kept)
    is_above, is_tie = bits > threshold, bits == threshold
    wanted = kept - _sum_over_ranks(is_above)
    is_tie &= is_tie.astype("int32").cumsum(dtype="int32") <= wanted
    fraction = wanted.astype("float32") / _sum_over_ranks(is_tie).astype("float32")
    hardest = paddle.nonzero(is_above | is_tie).flatten()
    if not len(hardest):
        return paddle.zeros([1], "int64"), paddle.zeros([1])
    return hardest, paddle.where(is_above.gather(hardest), paddle.ones([1]), fraction)


def _kth_largest(values: paddle.Tensor, k: int) -> paddle.Tensor:
    """[1] int32: the k-th largest of the values [L] int32, not negative, of all processes.

    Bit by bit from the highest: a bit is set if so many values are at least as large.
    """
    found = paddle.zeros([1], "int32")
    for bit in range(30, -1, -1):
        candidate = found + (1 << bit)
        found = paddle.where(_sum_over_ranks(values >= candidate) >= k, candidate, found)
    return found


def _sum_over_ranks(flags: paddle.Tensor) -> paddle.Tensor:
    """[1] int32: how many of the flags [L] bool of all processes are true."""
    number = flags.sum(dtype="int32").reshape([1])
    if dist.get_world_size() > 1:
        dist.all_reduce(number)
    return number


def _mean_over_ranks(value: paddle.Tensor) -> paddle.Tensor:
    if dist.get_world_size() == 1:
        return value
    value = value.detach()
    dist.all_reduce(value)
    return value / dist.get_world_size()
