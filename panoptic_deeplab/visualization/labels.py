"""Names on segments: which segments get one, and where it stands."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image, ImageDraw

from panoptic_deeplab.errors import one_line
from panoptic_deeplab.id_maps import measure_ids
from panoptic_deeplab.visualization.regions import Region, RegionMap
from panoptic_deeplab.visualization.text import MIN_FONT_SIZE, font_of, text_width

_LAYOUT_SIDE = 256  # names are laid out on a grid about this fine, whatever the image's size
_SMALL_TEXT = 0.75  # of the usual font size, for small instances
_MIN_STUFF_FRACTION = 0.008  # of the image: smaller stuff is named by the legend alone
_MIN_OWN = {True: 0.4, False: 0.6}  # by is_thing: fraction of a name's box on its own segment
_PLATE = (18, 18, 22, 185)
_LIGHT, _DARK = (255, 255, 255), (18, 18, 22)


@dataclass(frozen=True)
class Label:
    """A name drawn on the image.

    Attributes:
        text: the name, perhaps with a score.
        center: (y, x) of its box, a pixel of its segment.
        size: (height, width) of its box.
        font_size: pixels.
        on_plate: letters on a dark plate (things), else with a dark halo (stuff).
    """

    text: str
    center: tuple[int, int]
    size: tuple[int, int]
    font_size: int
    on_plate: bool


def place_labels(region_map: RegionMap, font_size: int) -> list[Label]:
    """Place names on the segments that have room for one, without overlap.

    Things come before stuff, which has more room, and large segments before small ones.
    """
    layout = _Layout(region_map.index)
    labels = (
        _placed(layout, region, extent, font_size)
        for region, extent in _in_order(region_map, layout)
    )
    return [label for label in labels if label is not None]


def draw_labels(image: np.ndarray, labels: list[Label]) -> np.ndarray:
    """Draw the labels on a copy of the [H, W, 3] RGB image."""
    canvas = Image.fromarray(image)
    draw = ImageDraw.Draw(canvas, "RGBA")
    for label in labels:
        (y, x), (height, width) = label.center, label.size
        font, halo = font_of(label.text, label.font_size), 0
        if label.on_plate:
            top, left = y - height // 2, x - width // 2
            corners = (left, top, left + width - 1, top + height - 1)
            draw.rounded_rectangle(corners, radius=height // 5, fill=_PLATE)
        else:
            halo = max(1, round(label.font_size / 10))
        draw.text(
            (x, y), label.text, _LIGHT, font, anchor="mm", stroke_width=halo, stroke_fill=_DARK
        )
    return np.asarray(canvas)


class _Extent(NamedTuple):
    """Where a region lies on the grid of a layout.

    Attributes:
        number: of the region in its map.
        area: in grid points.
        box: (top, left, bottom, right), end exclusive.
    """

    number: int
    area: int
    box: tuple[int, int, int, int]


def _in_order(region_map: RegionMap, layout: _Layout) -> list[tuple[Region, _Extent]]:
    """The regions to name, in the order in which they are placed."""
    pairs = [(region_map.regions[extent.number - 1], extent) for extent in layout.extents()]
    min_stuff = _MIN_STUFF_FRACTION * region_map.index.size / layout.stride**2
    shown = [(region, e) for region, e in pairs if region.is_thing or e.area >= min_stuff]
    return sorted(shown, key=lambda pair: (not pair[0].is_thing, -pair[1].area, pair[1].number))


def _placed(layout: _Layout, region: Region, extent: _Extent, font_size: int) -> Label | None:
    """Place the first wording for which there is room, if any."""
    for text, size in _wordings(region, font_size):
        box_size = _box_size(text, size)
        center = layout.take(extent, box_size, _MIN_OWN[region.is_thing])
        if center is not None:
            return Label(text, center, box_size, size, region.is_thing)
    return None


def _wordings(region: Region, font_size: int) -> Iterator[tuple[str, int]]:
    """Texts with their font sizes, in order of preference."""
    name = one_line(region.name)
    if not region.is_thing:
        yield name, font_size
        return
    small = max(MIN_FONT_SIZE, round(_SMALL_TEXT * font_size))
    title = name if region.track_id is None else f"{name} #{region.track_id}"
    if region.iscrowd:
        title = f"{name} group"
    full = title if region.score is None else f"{title} {region.score:.2f}"
    options = [(full, font_size), (full, small), (title, small), (name, small)]
    yield from dict.fromkeys(options)


def _box_size(text: str, font_size: int) -> tuple[int, int]:
    """(height, width) of a text with its margins, in pixels."""
    return round(1.3 * font_size), text_width(text, font_size) + round(0.6 * font_size)


class _Layout:
    """A coarse grid of the regions, and the part of it that names occupy.

    Args:
        index: [H, W] number of each pixel's region, 0 for none.
    """

    def __init__(self, index: np.ndarray) -> None:
        self.stride = max(1, min(index.shape) // _LAYOUT_SIDE)
        # Samples, not averages: a point of the grid is a pixel of its region.
        self.grid = index[:: self.stride, :: self.stride]
        self._taken = np.zeros(self.grid.shape, np.uint8)

    def extents(self) -> list[_Extent]:
        """The extent of each region on the grid, by its number."""
        measures = measure_ids(self.grid)
        columns = (measures.ids.tolist(), measures.areas.tolist(), measures.boxes.tolist())
        return [_Extent(*values) for values in zip(*columns, strict=True) if values[0]]

    def take(
        self, extent: _Extent, box_size: tuple[int, int], min_own: float
    ) -> tuple[int, int] | None:
        """Take the best free place for a box on a region, if there is one.

        Args:
            extent: of the region.
            box_size: (height, width) in pixels.
            min_own: the fraction of the box that the region must fill.

        Returns:
            The (y, x) pixel of the region on which the box is centered.
        """
        if not self._has_room(extent, box_size):
            return None
        # In grid points: odd, so that there is a center, and with a margin.
        height, width = (-(-side // self.stride) + 1 | 1 for side in box_size)
        spot = self._free_spot(extent, height, width, min_own)
        if spot is None:
            return None
        y, x = spot
        self._taken[y - height // 2 : y + height // 2 + 1, x - width // 2 : x + width // 2 + 1] = 1
        return y * self.stride, x * self.stride

    def _has_room(self, extent: _Extent, box_size: tuple[int, int]) -> bool:
        """Whether a region is large enough for a box, which may be a little wider."""
        height, width = (side / self.stride for side in box_size)
        top, left, bottom, right = extent.box
        return (
            bottom - top >= height
            and 1.5 * (right - left) >= width
            and extent.area >= 0.6 * height * width
        )

    def _free_spot(
        self, extent: _Extent, height: int, width: int, min_own: float
    ) -> tuple[int, int] | None:
        """The best (y, x) grid point of a region for a box, or None.

        The box must be free and inside the image; preferred are points where it covers most of the
        region, and near the middle of the region's bounding box.
        """
        top, left, bottom, right = extent.box
        first_y, first_x = max(0, top - height), max(0, left - width)
        inside = (slice(first_y, bottom + height), slice(first_x, right + width))
        own = (self.grid[inside] == extent.number).astype(np.uint8)
        covered = _box_sum(own, height, width) / (height * width)
        free = _box_sum(self._taken[inside], height, width) == 0
        allowed = (own > 0) & free & (covered >= min_own)
        y, x = first_y + np.arange(own.shape[0]), first_x + np.arange(own.shape[1])
        allowed &= _within(y, height // 2, self.grid.shape[0])[:, None]
        allowed &= _within(x, width // 2, self.grid.shape[1])
        if not allowed.any():
            return None
        away_y = (y - (top + bottom - 1) / 2) / self.grid.shape[0]
        away_x = (x - (left + right - 1) / 2) / self.grid.shape[1]
        preference = np.where(allowed, covered - np.hypot(away_y[:, None], away_x), -np.inf)
        row, column = np.unravel_index(preference.argmax(), preference.shape)
        return int(y[row]), int(x[column])


def _box_sum(values: np.ndarray, height: int, width: int) -> np.ndarray:
    """[h, w] float32: the sum over the box around each point, 0 beyond the border."""
    return cv2.boxFilter(
        values, cv2.CV_32F, (width, height), normalize=False, borderType=cv2.BORDER_CONSTANT
    )


def _within(positions: np.ndarray, reach: int, side: int) -> np.ndarray:
    """Whether a box that extends by `reach` to both sides lies in 0..side-1."""
    return (positions >= reach) & (positions + reach < side)
