"""Several images on one sheet, for reports and the README."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from PIL import Image, ImageDraw

from panoptic_deeplab.errors import DataError, one_line
from panoptic_deeplab.visualization.text import MIN_FONT_SIZE, font_of, shortened

_PAPER, _INK = (255, 255, 255), (30, 30, 34)


def side_by_side(images: Sequence[np.ndarray], titles: Sequence[str]) -> np.ndarray:
    """Place images in a row, scaled to the height of the tallest, each below its title.

    Args:
        images: [H, W, 3] uint8 RGB each, of any sizes.
        titles: one per image; long ones are shortened.

    Returns:
        [H', W', 3] uint8 RGB.

    Raises:
        DataError: no image, another number of titles, or an array that is not an RGB image.
    """
    if not images or len(images) != len(titles):
        raise DataError(
            f"expected one title per image, got {len(images)} images and {len(titles)} titles"
        )
    for image, title in zip(images, titles, strict=True):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise DataError(
                f"{title!r}: expected an image [H, W, 3] uint8, got {image.dtype} "
                f"{list(image.shape)}"
            )
    height = max(len(image) for image in images)
    font_size = max(MIN_FONT_SIZE + 1, height // 24)
    panels = [
        _panel(_of_height(image, height), title, font_size)
        for image, title in zip(images, titles, strict=True)
    ]
    gap = np.full((len(panels[0]), max(2, font_size // 3), 3), _PAPER, np.uint8)
    return np.hstack([part for panel in panels for part in (gap, panel)][1:])


def _of_height(image: np.ndarray, height: int) -> np.ndarray:
    if len(image) == height:
        return image
    width = max(1, round(image.shape[1] * height / len(image)))
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)


def _panel(image: np.ndarray, title: str, font_size: int) -> np.ndarray:
    """The image below a strip with its title."""
    width = image.shape[1]
    strip = Image.new("RGB", (width, round(1.6 * font_size)), _PAPER)
    text = shortened(one_line(title), font_size, width)
    ImageDraw.Draw(strip).text(
        (width // 2, strip.height // 2), text, _INK, font_of(text, font_size), anchor="mm"
    )
    return np.vstack([np.asarray(strip), image])
