"""The overlay: an image under the colors, outlines and names of its segments."""

from __future__ import annotations

import cv2
import numpy as np

from panoptic_deeplab.errors import DataError
from panoptic_deeplab.structures import DatasetInfo, PanopticMap
from panoptic_deeplab.visualization.labels import draw_labels, place_labels
from panoptic_deeplab.visualization.legend import PAPER, draw_legend, legend_entries
from panoptic_deeplab.visualization.maps import draw_instances, draw_semantic
from panoptic_deeplab.visualization.regions import RegionMap, thing_outlines
from panoptic_deeplab.visualization.text import MIN_FONT_SIZE

_SIDE_FOR_TEXT = 480  # shorter sides are enlarged to this, if few steps do
_MAX_ENLARGED, _LONGEST_SIDE = 8, 4096
_MIN_SIDE_FOR_TEXT = 120
_OPACITY = 0.5


def draw_panoptic(image: np.ndarray, prediction: PanopticMap, info: DatasetInfo) -> np.ndarray:
    """Draw the segments over their image: colored, outlined and named, with a legend.

    As `draw_segments`, with a legend below, or beside an image that is tall; tiny images have none.

    Args:
        image: [H, W, 3] uint8 RGB.
        prediction: of that image, or its annotation.
        info: the classes.

    Returns:
        [H', W', 3] uint8 RGB.

    Raises:
        DataError: the image has another shape or type, or another size than the map; or
            `RegionMap.of` refuses the map.
    """
    overlay, region_map = _draw(image, prediction, info)
    height, width = overlay.shape[:2]
    if min(height, width) < _MIN_SIDE_FOR_TEXT:
        return overlay
    return _with_legend(overlay, region_map, _font_size(height, width))


def draw_segments(image: np.ndarray, prediction: PanopticMap, info: DatasetInfo) -> np.ndarray:
    """Draw the segments over their image, without a legend: images of one size give one size.

    Stuff has the color of its class, every instance a shade of it (`instance_color`); void is
    darkened. Small images are enlarged by an integer factor so that names can be read; names stand
    on segments with room for them; tiny images have none.

    Args:
        image: [H, W, 3] uint8 RGB.
        prediction: of that image, or its annotation.
        info: the classes.

    Returns:
        [F * H, F * W, 3] uint8 RGB with F >= 1.

    Raises:
        DataError: as `draw_panoptic`.
    """
    return _draw(image, prediction, info)[0]


def _draw(
    image: np.ndarray, prediction: PanopticMap, info: DatasetInfo
) -> tuple[np.ndarray, RegionMap]:
    _check_image(image, prediction.ids.shape)
    factor = _enlargement(*image.shape[:2])
    region_map = RegionMap.of(prediction, info).enlarged(factor)
    height, width = region_map.index.shape
    enlarged = cv2.resize(
        np.ascontiguousarray(image),  # OpenCV takes no mirrored views
        (width, height),
        interpolation=cv2.INTER_CUBIC,
    )
    overlay = cv2.addWeighted(
        enlarged, 1 - _OPACITY, region_map.colors[region_map.index], _OPACITY, 0
    )
    side = min(height, width)
    overlay = _with_outlines(overlay, region_map, thickness=max(1, round(side / 700)))
    if side >= _MIN_SIDE_FOR_TEXT:
        overlay = draw_labels(overlay, place_labels(region_map, _font_size(height, width)))
    return overlay, region_map


def draw_panels(
    image: np.ndarray, prediction: PanopticMap, info: DatasetInfo
) -> dict[str, np.ndarray]:
    """Draw what an overview of a prediction shows: title -> [H', W', 3] uint8 RGB.

    Args:
        image: [H, W, 3] uint8 RGB.
        prediction: of that image.
        info: the classes.

    Raises:
        DataError: as `draw_panoptic`.
    """
    return {
        "image": image,
        "semantic": draw_semantic(prediction.semantic(info.ignore_index), info),
        "instance": draw_instances(prediction, info),
        "panoptic": draw_panoptic(image, prediction, info),
    }


def _check_image(image: np.ndarray, map_size: tuple[int, ...]) -> None:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise DataError(f"expected an image [H, W, 3] uint8, got {image.dtype} {list(image.shape)}")
    if image.shape[:2] != map_size:
        raise DataError(
            f"the image is {list(image.shape[:2])} (height, width), its prediction "
            f"{list(map_size)}; they must be of one size"
        )


def _enlargement(height: int, width: int) -> int:
    """The integer factor that makes a small image large enough for text, within limits."""
    wanted = -(-_SIDE_FOR_TEXT // min(height, width))
    return max(1, min(wanted, _MAX_ENLARGED, _LONGEST_SIDE // max(height, width)))


def _font_size(height: int, width: int) -> int:
    """A font size that grows more slowly than the image, as large images are viewed closer."""
    return max(MIN_FONT_SIZE + 1, round(7 + (height * width) ** 0.5 / 70))


def _with_outlines(overlay: np.ndarray, region_map: RegionMap, thickness: int) -> np.ndarray:
    """Outline each instance in white between two dark lines, visible on any background."""
    light = thing_outlines(region_map, thickness)
    reach = 2 * thickness + 1
    wide = cv2.dilate(light.view(np.uint8), np.ones((reach, reach), np.uint8)).view(bool)
    outlined = overlay.copy()
    outlined[wide] = overlay[wide] // 2
    outlined[light] = 255
    return outlined


def _with_legend(overlay: np.ndarray, region_map: RegionMap, font_size: int) -> np.ndarray:
    height, width = overlay.shape[:2]
    entries = legend_entries(region_map)
    if height <= 1.5 * width:
        return np.vstack([overlay, draw_legend(entries, width, font_size)])
    legend = draw_legend(entries, 16 * font_size, font_size)
    both = np.full((max(height, len(legend)), width + legend.shape[1], 3), PAPER, np.uint8)
    both[:height, :width] = overlay
    both[: len(legend), width:] = legend
    return both
