"""What a postprocessor that merges views is told of each of them."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import paddle


class View(Protocol):
    """A scaled or mirrored showing of an image, and the way back from it."""

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the network's input in this view."""

    @property
    def mirrored(self) -> bool:
        """Whether left and right are swapped."""

    def invert(self, maps: paddle.Tensor) -> paddle.Tensor:
        """[N, C, *size] -> [N, C, H, W] on the unscaled input, 0 outside its valid box."""

    def invert_vectors(self, vectors: paddle.Tensor) -> paddle.Tensor:
        """The same for (y, x) in pixels, which the way back also scales and mirrors."""

    def invert_boxes(self, boxes: np.ndarray) -> np.ndarray:
        """The same for boxes [K, 4] (x0, y0, x1, y1) between points, a pixel being a point."""
