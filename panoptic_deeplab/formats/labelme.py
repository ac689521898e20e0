"""Annotations of labelme and X-AnyLabeling: one JSON of shapes per image, painted as by labelme.

Following `labelme/_utils/shape.py` of https://github.com/wkentaro/labelme; X-AnyLabeling writes the
same files, with rectangles of four points and the types `rotation` and `quadrilateral`.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from panoptic_deeplab.errors import DataError, collect, reason_of, skipping_faults
from panoptic_deeplab.files import read_json
from panoptic_deeplab.formats.decoding import opened
from panoptic_deeplab.formats.masks import MAX_PIXELS

MAX_COORDINATE = 1 << 20

_NEEDED_POINTS = {
    "polygon": 3,
    "rectangle": 2,
    "oriented_rectangle": 3,
    "rotation": 3,
    "quadrilateral": 3,
    "circle": 2,
    "mask": 2,
}
"""Shape type -> the number of points that it needs at least to cover an area."""

_WITHOUT_AREA = frozenset({"point", "points", "line", "linestrip"})


@dataclass(frozen=True)
class Shape:
    """One shape.

    Attributes:
        number: its place in the file, for errors.
        label: the class, as it was typed, without blanks around it.
        group_id: shapes of one label and group are one object; None where it stands alone.
        iscrowd: the flag `crowd` is set on it.
        kind: a key of `_NEEDED_POINTS`.
        points: [N, 2] float64 (x, y) pixels.
        mask: for the kind mask the PNG of the box that the two points span.
    """

    number: int
    label: str
    group_id: int | str | None
    iscrowd: bool
    kind: str
    points: np.ndarray
    mask: bytes | None = None


@dataclass(frozen=True)
class LabelmeFile:
    """What a JSON says.

    Attributes:
        size: (height, width), or None where the file gives none.
        shapes: those that cover an area, in the order in which they are drawn.
    """

    size: tuple[int, int] | None
    shapes: tuple[Shape, ...]

    def fits(self, size: tuple[int, int]) -> bool:
        """Whether all points lie in an image of (height, width)."""
        return all(
            (shape.points >= 0).all() and (shape.points <= size[::-1]).all()
            for shape in self.shapes
        )


def is_labelme(content: Any) -> bool:
    """Whether the content of a JSON is an annotation of labelme, right or wrong."""
    return isinstance(content, Mapping) and isinstance(content.get("shapes"), list)


def read_labelme(path: str | Path) -> LabelmeFile:
    """Read an annotation; its copy of the image is ignored.

    Shapes that cover no area (points, lines, polygons of two points) are left out, and collected.

    Raises:
        DataError: the file is unreadable, of another form, or has a broken shape.
    """
    content = read_json(path)
    if not is_labelme(content):
        raise DataError(f"{path}: expected a JSON of labelme with a list under 'shapes'")
    shapes = []
    for number, entry in enumerate(content["shapes"]):
        place = f"{path}: shape {number}"
        with skipping_faults(place):
            shapes += _shapes_of(entry, number, place)
    return LabelmeFile(_size(content, path), tuple(shapes))


def _size(content: Mapping[str, Any], path: str | Path) -> tuple[int, int] | None:
    height, width = content.get("imageHeight"), content.get("imageWidth")
    if height is None or width is None:
        return None
    if type(height) is not int or type(width) is not int or min(height, width) < 1:  # no bool
        raise DataError(f"{path}: imageHeight {height!r:.20} and imageWidth {width!r:.20}")
    if height * width > MAX_PIXELS:
        raise DataError(f"{path}: {height} x {width} pixels, expected at most {MAX_PIXELS}")
    return height, width


def _shapes_of(entry: Any, number: int, place: str) -> list[Shape]:
    """The shape of an entry in a list, which is empty where it covers no area."""
    try:
        kind, points = entry.get("shape_type") or "polygon", entry["points"]
        if kind not in _WITHOUT_AREA | _NEEDED_POINTS.keys():
            raise ValueError(f"the type {kind!r:.50}")
        if len(points) < _NEEDED_POINTS.get(kind, math.inf):
            ending = "s" * (len(points) != 1)
            problem = f"{place} is a {kind} of {len(points)} point{ending}, which covers no area"
            collect(DataError(problem, kind="empty mask"))
            return []
        return [_shape(entry, number, kind, points)]
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise DataError(
            f"expected label, points and a shape_type of {', '.join(_NEEDED_POINTS)}; got "
            f"{type(error).__name__}: {reason_of(error)}"
        ) from error


def _shape(entry: Mapping[str, Any], number: int, kind: str, corners: Any) -> Shape:
    points = np.array(corners, np.float64)
    if points.ndim != 2 or points.shape[1] != 2:
        raise ValueError(f"points {corners!r:.80} of a {kind}")
    if not (np.abs(points) <= MAX_COORDINATE).all():  # also where one is NaN
        raise ValueError(f"a coordinate beyond {MAX_COORDINATE}, or none at all")
    mask = base64.b64decode(entry["mask"], validate=True) if kind == "mask" else None
    iscrowd = bool((entry.get("flags") or {}).get("crowd"))
    label, group = str(entry["label"]).strip(), _group_id(entry.get("group_id"))
    return Shape(number, label, group, iscrowd, kind, points, mask)


def _group_id(value: Any) -> int | str | None:
    """A group's id, so that 1, 1.0 and "1" are one; None for none and for an empty text."""
    if value is None or value == "":
        return None
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str):
        return int(value) if value.isdecimal() else value
    if not isinstance(value, int):
        raise TypeError(f"group_id {value!r:.50}")
    return value


def shape_mask(shape: Shape, size: tuple[int, int]) -> np.ndarray:
    """Draw a shape: [H, W] bool, its pixels in an image of `size`.

    Raises:
        DataError: the PNG of a mask is broken or has not the size of its box.
    """
    if shape.kind == "mask":
        return _pasted(shape, size)
    canvas = Image.new("L", (size[1], size[0]))
    corners = [(float(x), float(y)) for x, y in shape.points]
    _DRAW[shape.kind](ImageDraw.Draw(canvas), corners)
    return np.asarray(canvas) != 0


Points = list[tuple[float, float]]


def _draw_polygon(draw: ImageDraw.ImageDraw, points: Points) -> None:
    draw.polygon(points, fill=1, outline=1)


def _draw_rectangle(draw: ImageDraw.ImageDraw, points: Points) -> None:
    columns, rows = zip(*points, strict=True)
    draw.rectangle([min(columns), min(rows), max(columns), max(rows)], fill=1, outline=1)


def _draw_circle(draw: ImageDraw.ImageDraw, points: Points) -> None:
    (x, y), edge = points[:2]
    radius = math.dist((x, y), edge)
    draw.ellipse([x - radius, y - radius, x + radius, y + radius], fill=1, outline=1)


_DRAW = {
    "polygon": _draw_polygon,
    "rectangle": _draw_rectangle,
    "oriented_rectangle": _draw_polygon,
    "rotation": _draw_polygon,
    "quadrilateral": _draw_polygon,
    "circle": _draw_circle,
}


def _pasted(shape: Shape, size: tuple[int, int]) -> np.ndarray:
    """The mask in its box (corners included), clipped at the image's border.

    Fractional corners, which a mask has that was moved, say where it begins, not how large it is.
    """
    (left, top), (right, bottom) = np.rint(shape.points[:2]).astype(int)
    rounding = int((shape.points[:2] % 1 != 0).any())
    try:
        with opened(BytesIO(shape.mask or b""), "its PNG") as image:
            box = (right - left + 1, bottom - top + 1)
            if max(abs(np.subtract(image.size, box))) > rounding:
                raise ValueError(
                    f"{image.width} x {image.height} pixels in a box of {box[0]} x {box[1]}"
                )
            part = np.asarray(image.convert("L")) != 0
    except Exception as error:  # a broken image can raise anything
        raise DataError(f"the mask of a shape {shape.label!r}: {error}") from error
    bottom, right = top + part.shape[0] - 1, left + part.shape[1] - 1
    mask = np.zeros(size, bool)
    rows, columns = slice(max(0, top), max(0, bottom + 1)), slice(max(0, left), max(0, right + 1))
    inside = mask[rows, columns]
    skipped_y, skipped_x = max(0, -top), max(0, -left)
    inside[:] = part[skipped_y:, skipped_x:][: inside.shape[0], : inside.shape[1]]
    return mask
