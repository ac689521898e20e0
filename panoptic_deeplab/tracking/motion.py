"""Optical flow: where what was seen in one frame is in the next."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

_LONGEST_SIDE = 512  # of the images that are compared
_HALVED_SIDE = 256  # above this at least halved: as good as all pixels, in a quarter of the time
_MIN_SIDE = 32  # OpenCV's code fails on narrower images
_MAX_SAMPLES = 1024  # of a mask


@dataclass(frozen=True)
class Flow:
    """The motion from one frame to the next.

    Attributes:
        vectors: [h, w, 2] float32, (x, y) in pixels of the frame, one for each block of
            `reduction` pixels square.
        reduction: pixels of the frame for each vector, along both axes.
        width: of the frame.
    """

    vectors: np.ndarray
    reduction: int
    width: int

    def of_mask(self, pixels: np.ndarray) -> np.ndarray:
        """The median motion (y, x) of some pixels of the flattened frame, at least one."""
        sample = pixels[:: 1 + pixels.size // _MAX_SAMPLES]
        rows, columns = np.divmod(sample, self.width)
        height, width = self.vectors.shape[:2]
        y = np.minimum(rows // self.reduction, height - 1)
        x = np.minimum(columns // self.reduction, width - 1)
        return np.median(self.vectors[y, x], axis=0)[::-1]


class FlowEstimator:
    """Compares each frame with the one before, by dense inverse search.

    Kroeger et al., "Fast Optical Flow using Dense Inverse Search", ECCV 2016, in OpenCV's form.
    """

    def __init__(self) -> None:
        self._search = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
        self.reset()

    def reset(self) -> None:
        """Forget the last frame."""
        self._last: np.ndarray | None = None

    def update(self, image: np.ndarray | None) -> Flow | None:
        """Continue with the next frame, [H, W, 3] uint8 RGB.

        Returns:
            The motion since the last frame; None for the first, where one of the two is missing,
            and for images too small for it.
        """
        last, self._last = self._last, None
        if image is None:
            return None
        height, width = image.shape[:2]
        reduction = _reduction(max(height, width))
        if min(height, width) // reduction < _MIN_SIDE:
            return None
        small = cv2.resize(
            np.ascontiguousarray(image),
            (width // reduction, height // reduction),
            interpolation=cv2.INTER_AREA,
        )
        self._last = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
        if last is None or last.shape != self._last.shape:
            return None
        return Flow(self._search.calc(last, self._last, None) * reduction, reduction, width)


def _reduction(side: int) -> int:
    """By what images are reduced whose longer side has so many pixels."""
    return max(-(-side // _LONGEST_SIDE), 2 if side > _HALVED_SIDE else 1)
