"""labelme's annotations: one JSON of shapes per image, painted as labelme paints them.

Following `labelme/utils/shape.py` of https://github.com/wkentaro/labelme.
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

from panoptic_deeplab.errors import DataError
from panoptic_deeplab.files import read_json
from panoptic_deeplab.formats.masks import MAX_PIXELS

MAX_COORDINATE = 1 << 20

_CORNERS = {"polygon": 3, "rectangle": 2, "circle": 2, "mask": 2}
"""Shape type -> the number of points that it needs at least."""


@dataclass(frozen=True)
class Shape:
    """One shape.

    Attributes:
        label: the class, as it was typed.
        group_id: shapes of one label and group are one object; None where it stands alone.
        iscrowd: the flag `crowd` is set on it.
        kind: one of polygon, rectangle, circle, mask.
        points: [N, 2] float64 (x, y) pixels.
        mask: for the kind mask the PNG of the box that the two points span.
    """

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
        shapes: in the order in which they are drawn.
    """

    size: tuple[int, int] | None
    shapes: tuple[Shape, ...]


def read_labelme(path: str | Path) -> LabelmeFile:
    """Read an annotation of labelme; its copy of the image and the image's path are ignored.

    Raises:
        DataError: the file is unreadable, of another form, or has a shape that covers no area.
    """
    content = read_json(path)
    if not isinstance(content, Mapping) or not isinstance(content.get("shapes"), list):
        raise DataError(f"{path}: expected a JSON of labelme with a list under 'shapes'")
    shapes = []
    for number, entry in enumerate(content["shapes"]):
        try:
            shapes.append(_shape(entry))
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise DataError(
                f"{path}: shape {number}: expected label, points and a shape_type of "
                f"{', '.join(_CORNERS)}; got {type(error).__name__}: {error}"
            ) from error
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


def _shape(entry: Any) -> Shape:
    kind = entry.get("shape_type") or "polygon"
    points = np.array(entry["points"], np.float64)
    if kind not in _CORNERS:
        raise ValueError(f"the type {kind!r}, which covers no area")
    if points.ndim != 2 or points.shape[1] != 2 or len(points) < _CORNERS[kind]:
        raise ValueError(f"points {entry['points']!r:.80} of a {kind}")
    if not (np.abs(points) <= MAX_COORDINATE).all():  # also where one is NaN
        raise ValueError(f"a coordinate beyond {MAX_COORDINATE}, or none at all")
    group, flags = entry.get("group_id"), entry.get("flags") or {}
    if not isinstance(group, (int, str, type(None))):
        raise TypeError(f"group_id {group!r:.50}")
    mask = base64.b64decode(entry["mask"], validate=True) if kind == "mask" else None
    return Shape(str(entry["label"]), group, bool(flags.get("crowd")), kind, points, mask)


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
    (x0, y0), (x1, y1) = points[:2]
    draw.rectangle([min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)], fill=1, outline=1)


def _draw_circle(draw: ImageDraw.ImageDraw, points: Points) -> None:
    (x, y), edge = points[:2]
    radius = math.dist((x, y), edge)
    draw.ellipse([x - radius, y - radius, x + radius, y + radius], fill=1, outline=1)


_DRAW = {"polygon": _draw_polygon, "rectangle": _draw_rectangle, "circle": _draw_circle}


def _pasted(shape: Shape, size: tuple[int, int]) -> np.ndarray:
    """The mask in its box (corners included), clipped at the image's border."""
    (left, top), (right, bottom) = np.rint(shape.points[:2]).astype(int)
    try:
        with Image.open(BytesIO(shape.mask or b""), formats=["PNG"]) as image:
            if image.size != (right - left + 1, bottom - top + 1):
                raise ValueError(
                    f"{image.width} x {image.height} pixels in a box of {right - left + 1} x "
                    f"{bottom - top + 1}"
                )
            part = np.asarray(image.convert("L")) != 0
    except Exception as error:  # a broken image can raise anything
        raise DataError(f"the mask of a shape {shape.label!r}: {error}") from error
    mask = np.zeros(size, bool)
    rows, columns = slice(max(0, top), max(0, bottom + 1)), slice(max(0, left), max(0, right + 1))
    inside = mask[rows, columns]
    skipped_y, skipped_x = max(0, -top), max(0, -left)
    inside[:] = part[skipped_y:, skipped_x:][: inside.shape[0], : inside.shape[1]]
    return mask
