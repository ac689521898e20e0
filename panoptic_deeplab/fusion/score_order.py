"""Instances one after the other, the highest-scoring first; a later one takes what is left.

The rule of Panoptic FPN (https://arxiv.org/abs/1901.02446, section 3), which EfficientPS shares: an
instance that those before it hide for the most part is dropped.
"""

from __future__ import annotations

import numpy as np

from panoptic_deeplab.fusion.pasting import Window


def by_score(scores: np.ndarray) -> np.ndarray:
    """[K] indices of the scores [K], the highest first, of equal ones the earlier first."""
    return np.argsort(-scores, kind="stable")


class Occupancy:
    """The pixels of an image that instances have taken so far.

    Args:
        size: (height, width).
        overlap_threshold: fraction of its pixels, 0..1, that an instance may have lost to those
            before it.
    """

    def __init__(self, size: tuple[int, int], overlap_threshold: float) -> None:
        self.taken = np.zeros(size, bool)
        self.overlap_threshold = overlap_threshold

    def claim(self, mask: np.ndarray, window: Window) -> np.ndarray | None:
        """Give the next instance those pixels of its mask that are free.

        Args:
            mask: [h, w] bool, its pixels in the window.
            window: where they lie.

        Returns:
            [h, w] bool, or None where too many are taken: then the instance is dropped and gets
            nothing. One without a pixel has lost none.
        """
        taken = self.taken[window]
        free = mask & ~taken
        area = np.count_nonzero(mask)
        if area - np.count_nonzero(free) > self.overlap_threshold * area:
            return None
        taken |= mask
        return free
