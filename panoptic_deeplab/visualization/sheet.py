"""Several pictures on one sheet, for reports and the README."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from PIL import Image, ImageDraw

from panoptic_deeplab.errors import DataError, one_line
from panoptic_deeplab.visualization.text import SMALLEST_FONT, font_of, shortened

_PAPER, _INK = (255, 255, 255), (30, 30, 34)


def side_by_side(pictures: Sequence[np.ndarray], titles: Sequence[str]) -> np.ndarray:
    """The pictures in a row, brought to the height of the tallest, each below its title.

    Args:
        pictures: [H, W, 3] uint8 RGB each, of any sizes.
        titles: one a picture; too long ones are cut.

    Returns:
        [H', W', 3] uint8 RGB.

    Raises:
        DataError: no picture, another number of titles, or something that is no RGB picture.
    """
    if not pictures or len(pictures) != len(titles):
        raise DataError(
            f"expected one title a picture, got {len(pictures)} pictures and {len(titles)} titles"
        )
    for picture, title in zip(pictures, titles, strict=True):
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
            raise DataError(
                f"{title!r}: expected a picture [H, W, 3] uint8, got {picture.dtype} "
                f"{list(picture.shape)}"
            )
    height = max(len(picture) for picture in pictures)
    font_size = max(SMALLEST_FONT + 1, height // 24)
    panels = [
        _panel(_of_height(picture, height), title, font_size)
        for picture, title in zip(pictures, titles, strict=True)
    ]
    gap = np.full((len(panels[0]), max(2, font_size // 3), 3), _PAPER, np.uint8)
    return np.hstack([part for panel in panels for part in (gap, panel)][1:])


def _of_height(picture: np.ndarray, height: int) -> np.ndarray:
    if len(picture) == height:
        return picture
    width = max(1, round(picture.shape[1] * height / len(picture)))
    return cv2.resize(picture, (width, height), interpolation=cv2.INTER_LINEAR)


def _panel(picture: np.ndarray, title: str, font_size: int) -> np.ndarray:
    """The picture below a strip with its title."""
    width = picture.shape[1]
    strip = Image.new("RGB", (width, round(1.6 * font_size)), _PAPER)
    text = shortened(one_line(title), font_size, width)
    ImageDraw.Draw(strip).text(
        (width // 2, strip.height // 2), text, _INK, font_of(font_size), anchor="mm"
    )
    return np.vstack([np.asarray(strip), picture])
