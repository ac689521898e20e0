"""Convolutions of large maps on a CPU, a band of rows at a time.

Paddle copies the window of every output location before it multiplies (im2col): for a 3x3
convolution nine times its input at once, by far the most that a large image needs. In bands the
copy has a limit, and the results are the same but for the rounding of a few locations, where a
band ends in the middle of the panels of MKL's matrix product.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import paddle
import paddle.nn.functional as F
from paddle import nn

_LARGE = 1 << 29
"""Bytes of windows from which on bands are worth it: more than images of usual sizes take."""
_BAND = 1 << 27
"""Bytes of the windows of a band."""
_PANEL = 16
"""Bands of so many rows seldom end in the middle of a panel."""


@contextmanager
def convolving_in_bands(network: nn.Layer) -> Iterator[None]:
    """Let the convolutions of a network compute large maps in bands while the block runs."""
    convolutions = [layer for layer in network.sublayers() if type(layer) is nn.Conv2D]
    for layer in convolutions:
        layer.forward = partial(_convolved, layer)
    try:
        yield
    finally:
        for layer in convolutions:
            del layer.forward


def _convolved(layer: nn.Conv2D, x: paddle.Tensor) -> paddle.Tensor:
    """What the layer makes of [N, C, H, W], in bands where its windows take much memory."""
    height, width = (_length(layer, x, axis) for axis in (0, 1))
    row = 4 * layer._in_channels // layer._groups * math.prod(layer._kernel_size) * width
    if height * row < _LARGE or not _can_be_cut(layer):
        return nn.Conv2D.forward(layer, x)
    rows = max(_BAND // row // _PANEL * _PANEL, 1)
    result = paddle.empty([x.shape[0], layer._out_channels, height, width], x.dtype)
    for start in range(0, height, rows):
        stop = min(start + rows, height)
        result[:, :, start:stop] = _band(layer, x, start, stop)
    return result


def _can_be_cut(layer: nn.Conv2D) -> bool:
    """Whether it has windows (Paddle copies none for 1x1) and plain padding."""
    is_pointwise = math.prod(layer._kernel_size) == 1 and math.prod(layer._stride) == 1
    has_zeros = layer._padding_mode == "zeros" and layer._padding_algorithm == "EXPLICIT"
    return not is_pointwise and has_zeros and len(layer._updated_padding) == 2


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
