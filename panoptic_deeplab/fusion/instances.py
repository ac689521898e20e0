"""What a detector finds in an image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from panoptic_deeplab.fusion.score_order import by_score


@dataclass(frozen=True)
class Instances:
    """What a detector finds in an image.

    Attributes:
        boxes: [K, 4] (x0, y0, x1, y1) in pixels of the result.
        scores: [K].
        classes: [K] class indices of things.
        masks: [K, h, w] logits on each box.
    """

    boxes: np.ndarray
    scores: np.ndarray
    classes: np.ndarray
    masks: np.ndarray

    def only(self, chosen: np.ndarray) -> Instances:
        """The instances at some indices, in that order."""
        return Instances(
            self.boxes[chosen], self.scores[chosen], self.classes[chosen], self.masks[chosen]
        )

    def usable(self) -> np.ndarray:
        """Indices of the instances whose numbers are finite, the highest-scoring first."""
        boxes, order = self.boxes, by_score(self.scores)
        with np.errstate(invalid="ignore"):
            usable = (boxes[:, :2] <= boxes[:, 2:]).all(axis=1)
        usable &= np.isfinite(boxes).all(axis=1) & np.isfinite(self.scores)
        usable &= np.isfinite(self.masks).all(axis=(1, 2))
        return order[usable[order]]
