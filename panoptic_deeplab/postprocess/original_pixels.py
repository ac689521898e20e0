"""Resizes predictions to the size of the original image."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from panoptic_deeplab.structures import Prediction


def in_original_pixels(prediction: Prediction, size: tuple[int, int]) -> Prediction:
    """Resize the prediction to (height, width); segments that vanish leave the list."""
    if prediction.ids.shape == size:
        return prediction
    ids, labels = (
        cv2.resize(array, size[::-1], interpolation=cv2.INTER_NEAREST)
        for array in (prediction.ids, prediction.labels)
    )
    areas = np.bincount(ids.ravel(), minlength=len(prediction.segments) + 1)
    segments = [
        replace(segment, area=int(areas[segment.id]))
        for segment in prediction.segments
        if areas[segment.id]
    ]
    return Prediction(ids, segments, labels)
