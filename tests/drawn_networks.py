"""Weights and images that other frameworks were given too, each drawn from its name alone."""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping, Sequence

import numpy as np

Special = Mapping[str, tuple[float, float]]
"""Pattern of names -> factor and summand of their weights."""


def drawn_weight(seed: int, name: str, shape: Sequence[int], special: Special) -> np.ndarray:
    """Return an entry of a state dict in PyTorch's form, float32."""
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    if name.endswith("running_var"):
        value = rng.uniform(0.5, 1.5, shape)
    elif name.endswith("running_mean"):
        value = 0.1 * rng.standard_normal(shape)
    elif len(shape) >= 2:
        fan = int(np.prod(shape[1:]))
        value = rng.standard_normal(shape) * np.sqrt(2 / fan)
        if fan >= 64:
            value -= value.mean(axis=tuple(range(1, len(shape))), keepdims=True)
    elif name.endswith(".bias"):
        value = 0.05 * rng.standard_normal(shape)
    else:
        value = 1 + 0.1 * rng.standard_normal(shape)
    for pattern, (factor, summand) in special.items():
        if re.search(pattern, name):
            value = factor * value + summand
    return value.astype(np.float32)


def drawn_image(seed: int, height: int, width: int) -> np.ndarray:
    """[H, W, 3] uint8: squares of 16 pixels under noise."""
    rng = np.random.default_rng([seed, zlib.crc32(b"image")])
    squares = rng.integers(0, 192, (-(-height // 16), -(-width // 16), 3))
    noise = rng.integers(0, 64, (height, width, 3))
    return (squares.repeat(16, 0).repeat(16, 1)[:height, :width] + noise).astype(np.uint8)
