"""Test-time augmentation: an image is scaled and mirrored, and what a network gives is inverted.

Pixels are points. Scaling maps the first and the last row and column of the valid box to the first
and the last of the scaled box, mirroring reverses the columns; `View.invert` is the exact inverse,
so that nothing shifts. At an integer factor the image's points are among the view's points:
scaling up and inverting changes nothing.

The valid box is cut out first and padded again at the bottom and the right after mirroring.
Mirroring the padded input would shift the image by the width of its padding: with 2048 columns in
2049, the authors' code (bowenc0221/panoptic-deeplab) is off by that one pixel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import paddle
import paddle.nn.functional as F

from panoptic_deeplab.errors import UsageError
from panoptic_deeplab.structures import Frame

SMALLEST_SCALE, LARGEST_SCALE = 0.1, 10.0
COARSEST_STRIDE = 32
"""A view's sides are congruent to the input's sides, which the model was built for, modulo this."""


@dataclass(frozen=True)
class View:
    """A scaled or mirrored view of the valid box of an input.

    Attributes:
        input_size: (height, width) of the unscaled input with its padding.
        box: (top, left, bottom, right) of the image in the input, end exclusive.
        shown_size: (height, width) of the image in the view, at its top left.
        size: (height, width) of the view with its padding.
        mirrored: whether left and right are swapped.
    """

    input_size: tuple[int, int]
    box: tuple[int, int, int, int]
    shown_size: tuple[int, int]
    size: tuple[int, int]
    mirrored: bool = False

    @classmethod
    def of(cls, frame: Frame, scale: float = 1.0, mirrored: bool = False) -> View:
        """The view of `frame` at a scale; at scale 1 it has the size of the input."""
        height, width = (_scaled(side, scale) for side in _size_of(frame.valid_box))
        rows, columns = (_padded(side, scale) for side in frame.size)
        return cls(frame.size, frame.valid_box, (height, width), (rows, columns), mirrored)

    def show(self, images: paddle.Tensor) -> paddle.Tensor:
        """[N, C, *input_size] -> [N, C, *size], 0 in the padding."""
        top, left, bottom, right = self.box
        shown = _resize(images[:, :, top:bottom, left:right], self.shown_size)
        if self.mirrored:
            shown = paddle.flip(shown, axis=[3])
        below, beside = (a - b for a, b in zip(self.size, self.shown_size, strict=True))
        return F.pad(shown, [0, beside, 0, below])

    def invert(self, maps: paddle.Tensor) -> paddle.Tensor:
        """[N, C, *size] -> [N, C, *input_size], 0 outside the valid box."""
        top, left, bottom, right = self.box
        inside = maps[:, :, : self.shown_size[0], : self.shown_size[1]]
        if self.mirrored:
            inside = paddle.flip(inside, axis=[3])
        inside = _resize(inside, _size_of(self.box))
        below, beside = self.input_size[0] - bottom, self.input_size[1] - right
        return F.pad(inside, [left, beside, top, below])

    def invert_vectors(self, vectors: paddle.Tensor) -> paddle.Tensor:
        """`invert` for vectors [N, 2, *size] (y, x) in pixels of the view, then of the input."""
        factors = self._factors()
        if self.mirrored:
            factors[1] = -factors[1]
        return self.invert(vectors) * paddle.to_tensor(factors).reshape([1, 2, 1, 1])

    def invert_boxes(self, boxes: np.ndarray) -> np.ndarray:
        """Boxes [K, 4] (x0, y0, x1, y1) of the view, between points, as boxes of the input."""
        rows, columns = self._factors()
        x0, y0, x1, y1 = boxes.T
        if self.mirrored:
            x0, x1 = self.shown_size[1] - 1 - x1, self.shown_size[1] - 1 - x0
        top, left = self.box[:2]
        return np.stack(
            [left + x0 * columns, top + y0 * rows, left + x1 * columns, top + y1 * rows], axis=1
        )

    def _factors(self) -> list[float]:
        """Pixels of the input (y, x) for each pixel of the view."""
        return [
            (side - 1) / (shown - 1) if shown > 1 else 1.0
            for side, shown in zip(_size_of(self.box), self.shown_size, strict=True)
        ]


@dataclass(frozen=True)
class Augmentation:
    """Which views of an image are merged: every scale, and with `flip_horizontal` its mirror.

    Args:
        scales: factors of the image's size.
        flip_horizontal: add the mirrored view of each scale.

    Raises:
        UsageError: no scale, a scale twice, or one outside 0.1..10.
    """

    scales: Sequence[float] = (1.0,)
    flip_horizontal: bool = False

    def __post_init__(self) -> None:
        given = " ".join(f"{scale:g}" for scale in self.scales)
        if not self.scales:
            raise UsageError("--scales needs at least one scale, such as 1.0")
        if not all(SMALLEST_SCALE <= scale <= LARGEST_SCALE for scale in self.scales):
            raise UsageError(
                f"--scales must be factors in {SMALLEST_SCALE:g}..{LARGEST_SCALE:g}, got {given}"
            )
        if len(set(self.scales)) < len(self.scales):
            raise UsageError(f"--scales must differ, got {given}")

    def __str__(self) -> str:
        scales = ", ".join(f"{scale:g}" for scale in self.scales)
        return f"scales {scales}" + (", each also mirrored" if self.flip_horizontal else "")

    def views(self, frame: Frame) -> list[View]:
        """All views of an input."""
        mirrors = (False, True) if self.flip_horizontal else (False,)
        return [View.of(frame, scale, mirrored) for scale in self.scales for mirrored in mirrors]


def _size_of(box: tuple[int, int, int, int]) -> tuple[int, int]:
    top, left, bottom, right = box
    return bottom - top, right - left


def _scaled(side: int, scale: float) -> int:
    """The number of points on a scaled side with the same ends: 2 n + 1 for n + 1 at scale 2."""
    return max(int((side - 1) * scale) + 1, min(side, 2))


def _padded(side: int, scale: float) -> int:
    """The scaled side, enlarged to the remainder of the unscaled side by the coarsest stride."""
    scaled = _scaled(side, scale)
    return scaled + (side - scaled) % COARSEST_STRIDE


def _resize(maps: paddle.Tensor, size: tuple[int, int]) -> paddle.Tensor:
    if tuple(maps.shape[-2:]) == size:
        return maps
    return F.interpolate(maps, size, mode="bilinear", align_corners=True)
