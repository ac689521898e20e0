"""The overlay: a photograph under the colours, outlines and names of its segments."""

from __future__ import annotations

import cv2
import numpy as np

from panoptic_deeplab.errors import DataError
from panoptic_deeplab.structures import DatasetInfo, PanopticMap
from panoptic_deeplab.visualization.labels import draw_labels, place_labels
from panoptic_deeplab.visualization.legend import PAPER, draw_legend, legend_entries
from panoptic_deeplab.visualization.regions import RegionMap, thing_outlines
from panoptic_deeplab.visualization.text import SMALLEST_FONT

_SIDE_FOR_TEXT = 480  # shorter sides are enlarged to this, if few steps do
_MOST_ENLARGED, _LONGEST_SIDE = 8, 4096
_LEAST_SIDE_FOR_TEXT = 120
_OPACITY = 0.5


def draw_panoptic(image: np.ndarray, prediction: PanopticMap, info: DatasetInfo) -> np.ndarray:
    """The picture with its segments in colour, outlined and named, and a legend.

    Stuff has the colour of its class, every instance a shade of it (`instance_color`); void is
    darkened. Small pictures are enlarged by a whole factor so that names can be read; names stand
    on segments with room for them; tiny pictures have neither names nor legend.

    Args:
        image: [H, W, 3] uint8 RGB.
        prediction: of that image; annotations do too.
        info: the classes.

    Returns:
        [H', W', 3] uint8 RGB: the picture, with the legend below, or beside where it is tall.

    Raises:
        DataError: the image is not as above or of another size than the map; the map is not as
            `RegionMap.of` wants it.
    """
    _check_image(image, prediction.ids.shape)
    factor = _enlargement(*image.shape[:2])
    region_map = RegionMap.of(prediction, info).enlarged(factor)
    height, width = region_map.index.shape
    photograph = np.ascontiguousarray(image)  # OpenCV takes no mirrored views
    enlarged = cv2.resize(photograph, (width, height), interpolation=cv2.INTER_CUBIC)
    picture = cv2.addWeighted(
        enlarged, 1 - _OPACITY, region_map.colors[region_map.index], _OPACITY, 0
    )
    side = min(height, width)
    picture = _with_outlines(picture, region_map, thickness=max(1, round(side / 700)))
    if side < _LEAST_SIDE_FOR_TEXT:
        return picture
    font_size = _font_size(height, width)
    picture = draw_labels(picture, place_labels(region_map, font_size))
    return _with_legend(picture, region_map, font_size)


def _check_image(image: np.ndarray, map_size: tuple[int, ...]) -> None:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise DataError(f"expected an image [H, W, 3] uint8, got {image.dtype} {list(image.shape)}")
    if image.shape[:2] != map_size:
        raise DataError(
            f"the image is {list(image.shape[:2])} (height, width), its prediction "
            f"{list(map_size)}; they must be of one size"
        )


def _enlargement(height: int, width: int) -> int:
    """The whole factor that makes a small picture large enough for text, within limits."""
    wanted = -(-_SIDE_FOR_TEXT // min(height, width))
    return max(1, min(wanted, _MOST_ENLARGED, _LONGEST_SIDE // max(height, width)))


def _font_size(height: int, width: int) -> int:
    """Grows with the picture, but slower: large pictures are looked at closer."""
    return max(SMALLEST_FONT + 1, round(7 + (height * width) ** 0.5 / 70))


def _with_outlines(picture: np.ndarray, region_map: RegionMap, thickness: int) -> np.ndarray:
    """A light line inside each instance with a dark one on both sides, to show on any ground."""
    light = thing_outlines(region_map, thickness)
    reach = 2 * thickness + 1
    wide = cv2.dilate(light.view(np.uint8), np.ones((reach, reach), np.uint8)).view(bool)
    outlined = picture.copy()
    outlined[wide] = picture[wide] // 2
    outlined[light] = 255
    return outlined


def _with_legend(picture: np.ndarray, region_map: RegionMap, font_size: int) -> np.ndarray:
    height, width = picture.shape[:2]
    entries = legend_entries(region_map)
    if height <= 1.5 * width:
        return np.vstack([picture, draw_legend(entries, width, font_size)])
    legend = draw_legend(entries, 16 * font_size, font_size)
    both = np.full((max(height, len(legend)), width + legend.shape[1], 3), PAPER, np.uint8)
    both[:height, :width] = picture
    both[: len(legend), width:] = legend
    return both
