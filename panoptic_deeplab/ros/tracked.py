"""A model of single images as one of a stream, whose things keep their ids."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from panoptic_deeplab.result import Result
from panoptic_deeplab.structures import DatasetInfo
from panoptic_deeplab.tracking import Tracker


class TrackedModel:
    """Predicts the images of a stream in their order; where their size changes, ids begin anew.

    Args:
        model: an image [H, W, 3] uint8 RGB -> its result.
        info: the classes.
    """

    def __init__(self, model: Callable[[np.ndarray], Result], info: DatasetInfo) -> None:
        self._model = model
        self._tracker = Tracker(info)
        self._size: tuple[int, ...] | None = None

    def __call__(self, pixels: np.ndarray) -> Result:
        """Predict the next image; the things of its result have a `track_id`."""
        result = self._model(pixels)
        if result.ids.shape != self._size:
            self._tracker.reset()
            self._size = result.ids.shape
        prediction = self._tracker.update(result.prediction, result.image)
        return Result(result.image, prediction, result.info)
