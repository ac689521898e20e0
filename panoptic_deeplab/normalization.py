"""The normalization of images, written once for the network's input in every form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from panoptic_deeplab.errors import UsageError


@dataclass(frozen=True)
class Normalization:
    """(value / 255 - mean) / std, in float32 and in this order of operations, as in PaddleSeg.

    Attributes:
        mean: of the three channels (RGB), for values in 0..1.
        std: likewise.
    """

    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    @classmethod
    def of(cls, mean: Sequence[float] = (0.5,), std: Sequence[float] = (0.5,)) -> Normalization:
        """The normalization by one number of each kind for all channels, or by three.

        Raises:
            UsageError: there are other than 1 or 3 numbers, or a std is not positive.
        """
        for name, values in (("mean", mean), ("std", std)):
            if len(values) not in (1, 3):
                raise UsageError(f"preprocess.{name} needs 1 or 3 numbers, got {list(values)}")
        if min(std) <= 0:
            raise UsageError(f"preprocess.std must be positive, got {list(std)}")
        return cls(*(tuple(np.broadcast_to(v, 3).astype(float).tolist()) for v in (mean, std)))
