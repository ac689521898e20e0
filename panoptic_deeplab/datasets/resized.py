"""Data sets whose images are brought to one size when they are read."""

from __future__ import annotations

from collections.abc import Sequence

import cv2

from panoptic_deeplab.datasets.base import PanopticDataset, Record, Transform
from panoptic_deeplab.errors import UsageError
from panoptic_deeplab.formats.images import OrientedImage
from panoptic_deeplab.structures import DatasetInfo


class ResizedPanopticDataset(PanopticDataset):
    """A data set with images of one size, before any transform.

    Args:
        records: the samples.
        info: the classes.
        transforms: applied in order to each sample.
        name: of the data set in messages.
        size: [width, height] that images are resized to, bilinearly; null for images as they are.

    Attributes:
        size: as given, a pair.

    Raises:
        UsageError: the size is no pair of pixels.
    """

    def __init__(
        self,
        records: Sequence[Record],
        info: DatasetInfo,
        transforms: Sequence[Transform],
        name: str,
        size: Sequence[int] | None,
    ) -> None:
        if size is not None and (len(size) != 2 or min(size) < 1):
            raise UsageError(f"size must be [width, height] in pixels or null, got {size}")
        self.size = None if size is None else (size[0], size[1])
        super().__init__(records, info, transforms, name)

    def read_image(self, record: Record) -> OrientedImage:
        """Read the image, resized to `size`."""
        image = super().read_image(record)
        if self.size is None:
            return image
        return image._replace(pixels=cv2.resize(image.pixels, self.size))
