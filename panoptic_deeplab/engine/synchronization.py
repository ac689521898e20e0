"""Batch norms whose statistics are those of all processes' batches."""

from __future__ import annotations

import paddle.nn.functional as F
from paddle import nn

_BATCH_NORMS = (nn.BatchNorm, nn.BatchNorm1D, nn.BatchNorm2D, nn.BatchNorm3D)


def synchronize_batch_norms(layer: nn.Layer) -> None:
    """Replace the batch norms inside a network by synchronized ones with the same parameters.

    Paddle's own conversion passes over `nn.BatchNorm`. A part whose attribute `uneven_batches` is
    true keeps its own: it sees another number of inputs on each process, and the backward pass of
    Paddle's synchronized kernel (sync_batch_norm_utils.h, KeBNBackwardData) divides the sums over
    all processes by the number of processes times its own inputs, which is the total only where
    all have as many. Norms with frozen statistics keep their kind too; there is nothing to share.

    Args:
        layer: changed in place; names in its state dict and parameters stay.
    """
    for name, part in list(layer.named_children()):
        if getattr(part, "uneven_batches", False):
            continue
        if isinstance(part, _BATCH_NORMS) and not part._use_global_stats:
            setattr(layer, name, _synchronized(part))
        else:
            synchronize_batch_norms(part)


def _synchronized(norm: nn.Layer) -> nn.Layer:
    """Return a synchronized batch norm that holds the tensors of `norm`."""
    has = {name: value for name, value in norm._parameters.items() if value is not None}
    synchronized = nn.SyncBatchNorm(
        norm._mean.shape[0],
        momentum=norm._momentum,
        epsilon=norm._epsilon,
        weight_attr=None if "weight" in has else False,
        bias_attr=None if "bias" in has else False,
        data_format=norm._data_layout if isinstance(norm, nn.BatchNorm) else norm._data_format,
    )
    for name, value in has.items():
        setattr(synchronized, name, value)
    synchronized.training = norm.training
    if isinstance(norm, nn.BatchNorm) and norm._act is not None:
        activation = getattr(F, norm._act)
        synchronized.register_forward_post_hook(lambda layer, inputs, output: activation(output))
    return synchronized
