"""Settings of Panoptic-DeepLab's grouping, for all its forms and for the description of exports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from panoptic_deeplab.errors import UsageError


@dataclass(frozen=True)
class GroupingSettings:
    """What decides which pixels are grouped, and how.

    Attributes:
        num_classes: semantic classes.
        thing_ids: class indices of the things.
        threshold: heatmap value that a center must exceed.
        nms_kernel: side of the window in which a center has the highest value, in pixels, odd.
        top_k: maximum number of centers in an image.
        min_stuff_area: a stuff class with fewer pixels in the image becomes void.
        align_corners: how outputs are upsampled, as the model does it.

    Raises:
        UsageError: nms_kernel is even, or top_k or nms_kernel below 1.
    """

    num_classes: int
    thing_ids: Sequence[int]
    threshold: float = 0.1
    nms_kernel: int = 7
    top_k: int = 200
    min_stuff_area: int = 2048
    align_corners: bool = True

    def __post_init__(self) -> None:
        check_center_options(self.nms_kernel, self.top_k)

    @property
    def is_thing(self) -> np.ndarray:
        """[C] bool, which classes are things."""
        return np.isin(np.arange(self.num_classes), list(self.thing_ids))

    @property
    def max_segments(self) -> int:
        """Rows of a segment table: every center and every class."""
        return self.top_k + self.num_classes


def check_center_options(nms_kernel: int, top_k: int) -> None:
    """Refuse what no center can be found with.

    Raises:
        UsageError: nms_kernel is even, or top_k or nms_kernel below 1.
    """
    if nms_kernel < 1 or nms_kernel % 2 == 0:
        raise UsageError(f"nms_kernel must be odd and positive, got {nms_kernel}")
    if top_k < 1:
        raise UsageError(f"top_k must be at least 1, got {top_k}")
