"""Names on segments: which get one, and where it lies."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image, ImageDraw

from panoptic_deeplab.errors import one_line
from panoptic_deeplab.visualization.regions import Region, RegionMap
from panoptic_deeplab.visualization.text import SMALLEST_FONT, font_of, text_width

_LAYOUT_SIDE = 256  # names are laid out on a grid about this fine, whatever the picture's size
_SMALL_TEXT = 0.75  # of the usual size, for instances that are small
_STUFF_SHARE = 0.008  # of the picture: smaller stuff is told by the legend alone
_OWN_SHARE = {True: 0.4, False: 0.6}  # by is_thing: part of a name's box that its segment fills
_PLATE = (18, 18, 22, 185)
_LIGHT, _DARK = (255, 255, 255), (18, 18, 22)


@dataclass(frozen=True)
class Label:
    """A name in the picture.

    Attributes:
        text: what it says.
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
    """Names for the segments with room for one, none over another.

    Large ones choose first and things before stuff, which has more room to give way.
    """
    height, width = region_map.index.shape
    stride = max(1, min(height, width) // _LAYOUT_SIDE)
    # Samples, not averages: a cell of the grid is a pixel of its segment.
    grid = region_map.index[::stride, ::stride]
    boxes = _bounding_boxes(grid, len(region_map.regions) + 1)
    areas = np.bincount(grid.ravel(), minlength=len(region_map.regions) + 1)
    order = sorted(
        (n for n in range(1, len(areas)) if areas[n]),
        key=lambda n: (not region_map.regions[n - 1].is_thing, -areas[n], n),
    )
    taken = np.zeros(grid.shape, np.uint8)
    labels = []
    for n in order:
        region, area = region_map.regions[n - 1], int(areas[n]) * stride**2
        if not region.is_thing and area < _STUFF_SHARE * height * width:
            continue
        for text, size in _wordings(region, font_size):
            box_size = _box_size(text, size)
            if not _has_room(box_size, boxes[n], stride, area):
                continue
            spot = _free_spot(
                grid, n, boxes[n], taken, box_size, stride, _OWN_SHARE[region.is_thing]
            )
            if spot is not None:
                center = (spot[0] * stride, spot[1] * stride)
                labels.append(Label(text, center, box_size, size, region.is_thing))
                _take(taken, spot, _cells(box_size, stride))
                break
    return labels


def draw_labels(picture: np.ndarray, labels: list[Label]) -> np.ndarray:
    """A copy of the [H, W, 3] RGB picture with the labels."""
    canvas = Image.fromarray(picture)
    draw = ImageDraw.Draw(canvas, "RGBA")
    for label in labels:
        (y, x), (height, width) = label.center, label.size
        font, halo = font_of(label.font_size), 0
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


def _wordings(region: Region, font_size: int) -> Iterator[tuple[str, int]]:
    """What to write and how large, the best first."""
    name = one_line(region.name)
    if not region.is_thing:
        yield name, font_size
        return
    small = max(SMALLEST_FONT, round(_SMALL_TEXT * font_size))
    full = f"{name} group" if region.iscrowd else name
    if region.score is not None:
        full = f"{full} {region.score:.2f}"
    yield full, font_size
    yield full, small
    yield name, small


def _box_size(text: str, font_size: int) -> tuple[int, int]:
    """(height, width) of a text with its margins."""
    return round(1.3 * font_size), text_width(text, font_size) + round(0.6 * font_size)


def _has_room(
    box_size: tuple[int, int], bounds: tuple[int, int, int, int], stride: int, area: int
) -> bool:
    """Whether a segment is large enough for a text; it may stand out a little to the sides."""
    height, width = box_size
    top, left, bottom, right = bounds
    return (
        (bottom - top) * stride >= height
        and 1.5 * (right - left) * stride >= width
        and area >= 0.6 * height * width
    )


def _bounding_boxes(index: np.ndarray, count: int) -> list[tuple[int, int, int, int]]:
    """(top, left, bottom, right), end exclusive, of 0..count-1; meaningless for absent ones."""
    height, width = index.shape
    rows, columns = np.ogrid[:height, :width]
    by_row = np.bincount((index * height + rows).ravel(), minlength=count * height)
    by_column = np.bincount((index * width + columns).ravel(), minlength=count * width)
    spans = []
    for present in (by_row.reshape(count, height) > 0, by_column.reshape(count, width) > 0):
        spans.append((present.argmax(1), present.shape[1] - present[:, ::-1].argmax(1)))
    (top, bottom), (left, right) = spans
    return list(zip(top.tolist(), left.tolist(), bottom.tolist(), right.tolist(), strict=True))


def _cells(box_size: tuple[int, int], stride: int) -> tuple[int, int]:
    """(height, width) of a box in cells of the grid, odd so that it has a centre, with a margin."""
    height, width = (-(-side // stride) + 1 | 1 for side in box_size)
    return height, width


def _free_spot(
    grid: np.ndarray,
    number: int,
    bounds: tuple[int, int, int, int],
    taken: np.ndarray,
    box_size: tuple[int, int],
    stride: int,
    least_own: float,
) -> tuple[int, int] | None:
    """The (y, x) cell of a segment where a box covers most of it and nothing taken, or None.

    Of equal ones the nearest to the middle of the segment's bounding box.
    """
    height, width = _cells(box_size, stride)
    top, left = max(0, bounds[0] - height), max(0, bounds[1] - width)
    inside = (slice(top, bounds[2] + height), slice(left, bounds[3] + width))
    own = (grid[inside] == number).astype(np.uint8)
    covered = _box_sum(own, height, width) / (height * width)
    allowed = (own > 0) & (_box_sum(taken[inside], height, width) == 0) & (covered >= least_own)
    y, x = (np.arange(side) + start for side, start in zip(own.shape, (top, left), strict=True))
    allowed &= _within(y, height // 2, grid.shape[0])[:, None]
    allowed &= _within(x, width // 2, grid.shape[1])
    if not allowed.any():
        return None
    away_y = (y - (bounds[0] + bounds[2] - 1) / 2) / grid.shape[0]
    away_x = (x - (bounds[1] + bounds[3] - 1) / 2) / grid.shape[1]
    merit = np.where(allowed, covered - np.hypot(away_y[:, None], away_x), -np.inf)
    row, column = np.unravel_index(merit.argmax(), merit.shape)
    return int(y[row]), int(x[column])


def _box_sum(cells: np.ndarray, height: int, width: int) -> np.ndarray:
    """[h, w] float32: the sum over the box around each cell, 0 beyond the rim."""
    return cv2.boxFilter(
        cells, cv2.CV_32F, (width, height), normalize=False, borderType=cv2.BORDER_CONSTANT
    )


def _within(positions: np.ndarray, reach: int, side: int) -> np.ndarray:
    """Whether a box that reaches so far to both sides lies in 0..side-1."""
    return (positions >= reach) & (positions + reach < side)


def _take(taken: np.ndarray, center: tuple[int, int], cells: tuple[int, int]) -> None:
    """Marks a box of the grid as taken."""
    (y, x), (height, width) = center, cells
    taken[y - height // 2 : y + height // 2 + 1, x - width // 2 : x + width // 2 + 1] = 1
