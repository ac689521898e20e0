"""Large maps of a network on a CPU in little memory: what a layer needs beside its output.

Paddle copies the window of every output location before it multiplies (im2col): for a 3x3
convolution nine times its input at once, by far the most that a large image needs. In bands of rows
the copy has a limit, and the results are the same but for the rounding of a few locations, where a
band ends in the middle of the panels of MKL's matrix product. A norm after a convolution, each
channel of which has statistics of its own, takes the place of its input eight channels at a time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import pairwise

import paddle
import paddle.nn.functional as F
from paddle import nn

_LARGE_WINDOWS = 1 << 29
"""Bytes of all windows of a convolution from which on bands are worth it."""
_LARGE_MAP = 1 << 28
"""Bytes of a map from which on a second one counts; both are more than usual images take."""
_BAND = 1 << 27
"""Bytes of the windows of a band."""
_PANEL = 16
"""Bands of so many rows seldom end in the middle of a panel."""
_CHANNELS = 8
"""Channels that are normalized together: an inverse root among eight may be rounded otherwise than
alone, by the processor's vectors."""


@contextmanager
def sparing_memory(network: nn.Layer) -> Iterator[None]:
    """Let a network compute large maps in little memory while the block runs, without gradients."""
    forwards = dict(_sparing_forwards(network))
    for layer, forward in forwards.items():
        layer.forward = partial(_unless_traced, layer.forward, forward)
    try:
        yield
    finally:
        for layer in forwards:
            del layer.forward


@paddle.jit.not_to_static
def _unless_traced(
    plain: Callable[..., paddle.Tensor],
    sparing: Callable[..., paddle.Tensor],
    *inputs: paddle.Tensor,
) -> paddle.Tensor:
    """Compute in little memory, but plainly where the network is traced for another runtime."""
    return (sparing if paddle.in_dynamic_mode() else plain)(*inputs)


def _sparing_forwards(
    network: nn.Layer,
) -> Iterator[tuple[nn.Layer, Callable[..., paddle.Tensor]]]:
    """The layers that can spare memory, and how each computes then."""
    for layer in network.sublayers(include_self=True):
        if type(layer) is nn.Conv2D:
            yield layer, partial(_convolved, layer)
        if hasattr(layer, "forward_in_place"):
            yield layer, layer.forward_in_place
        if type(layer) is nn.Sequential:  # nobody but the next part has what a part made
            for before, after in pairwise(layer.children()):
                if type(before) is nn.Conv2D and type(after) is nn.InstanceNorm2D:
                    yield after, partial(_normalized, after)
                if type(before) is nn.InstanceNorm2D and type(after) is nn.ReLU:
                    yield after, F.relu_


def _normalized(layer: nn.InstanceNorm2D, x: paddle.Tensor) -> paddle.Tensor:
    """What the layer makes of [N, C, H, W], in the memory of a large `x`."""
    if 4 * x.size < _LARGE_MAP:
        return nn.InstanceNorm2D.forward(layer, x)
    batch, channels, height, width = x.shape
    scales, biases = layer.scale.tile([batch]), layer.bias.tile([batch])
    planes = x.reshape([batch * channels, height, width])
    for start in range(0, batch * channels, _CHANNELS):
        part = slice(start, start + _CHANNELS)
        _normalize(planes[part], scales[part], biases[part], layer._epsilon)
    return planes.reshape(x.shape)


def _normalize(
    planes: paddle.Tensor, scales: paddle.Tensor, biases: paddle.Tensor, epsilon: float
) -> None:
    """Normalize each of some planes [K, H, W] by its own mean and variance, in place."""
    (normalized,) = F.instance_norm(planes.unsqueeze(0), weight=scales, bias=biases, eps=epsilon)
    for i, plane in enumerate(normalized):  # one by one: Paddle copies what it sets
        planes[i] = plane


def _convolved(layer: nn.Conv2D, x: paddle.Tensor) -> paddle.Tensor:
    """What the layer makes of [N, C, H, W], with little memory where that is large."""
    height, width = (_length(layer, x, axis) for axis in (0, 1))
    row = 4 * layer._in_channels // layer._groups * math.prod(layer._kernel_size) * width
    if height * row < _LARGE_WINDOWS or not _has_plain_padding(layer):
        return nn.Conv2D.forward(layer, x)
    if math.prod(layer._kernel_size) == 1 and math.prod(layer._stride) == 1:
        return _mixed(layer, x)
    rows = max(_BAND // row // _PANEL * _PANEL, 1)
    result = paddle.empty([x.shape[0], layer._out_channels, height, width], x.dtype)
    for start in range(0, height, rows):
        stop = min(start + rows, height)
        result[:, :, start:stop] = _band(layer, x, start, stop)
    return result


def _has_plain_padding(layer: nn.Conv2D) -> bool:
    has_zeros = layer._padding_mode == "zeros" and layer._padding_algorithm == "EXPLICIT"
    return has_zeros and len(layer._updated_padding) == 2


def _mixed(layer: nn.Conv2D, x: paddle.Tensor) -> paddle.Tensor:
    """What a 1x1 convolution makes of [N, C, H, W], its bias added in place; it has no windows."""
    result = F.conv2d(x, layer.weight, None, 1, layer._updated_padding, 1, layer._groups)
    if layer.bias is not None:
        result.add_(layer.bias.astype(result.dtype).reshape([1, -1, 1, 1]))
    return result


def _reach(layer: nn.Conv2D, axis: int) -> int:
    """Rows (or columns) from the first to the last of a window."""
    return layer._dilation[axis] * (layer._kernel_size[axis] - 1) + 1


def _length(layer: nn.Conv2D, x: paddle.Tensor, axis: int) -> int:
    """Rows (or columns) of the output."""
    padded = x.shape[2 + axis] + 2 * layer._updated_padding[axis]
    return (padded - _reach(layer, axis)) // layer._stride[axis] + 1


def _band(layer: nn.Conv2D, x: paddle.Tensor, start: int, stop: int) -> paddle.Tensor:
    """The rows start..stop of the output, from the rows of [N, C, H, W] that they see."""
    padding, beside = layer._updated_padding
    first = start * layer._stride[0] - padding
    last = (stop - 1) * layer._stride[0] - padding + _reach(layer, 0)
    above, below = max(-first, 0), max(last - x.shape[2], 0)
    return F.conv2d(
        x[:, :, max(first, 0) : last],
        layer.weight,
        layer.bias,
        layer._stride,
        [above, below, beside, beside],
        layer._dilation,
        layer._groups,
    )
