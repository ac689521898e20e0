"""Scalabel JSON, the other form of BDD100K's labels: frames with RLE masks or polygons.

Following https://doc.scalabel.ai/format.html.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from panoptic_deeplab.errors import DataError
from panoptic_deeplab.files import read_json

MAX_PIXELS = 1 << 28
_CURVE_STEPS = 16


@dataclass(frozen=True)
class Label:
    """One object of a frame.

    Attributes:
        id: as in the file.
        category: the category's name.
        iscrowd: marked as crowd or as ignored.
        rle: `{counts, size}`, or None.
        poly2d: list of `{vertices, types}`, or None; `rle` comes first.
    """

    id: str
    category: str
    iscrowd: bool
    rle: Mapping[str, Any] | None
    poly2d: Sequence[Mapping[str, Any]] | None

    @property
    def has_mask(self) -> bool:
        """Whether it says which pixels it covers."""
        return self.rle is not None or self.poly2d is not None


@dataclass(frozen=True)
class LabeledFrame:
    """One image: the file it comes from, its name and its labels."""

    source: Path
    name: str
    labels: tuple[Label, ...]


def read_frames(path: str | Path) -> list[LabeledFrame]:
    """The frames of a Scalabel JSON, or of all JSONs of a folder.

    The file is parsed as a whole, which takes about ten times its size in memory.

    Raises:
        DataError: a file is missing, unreadable or of another form.
    """
    path = Path(path)
    if path.is_dir():
        return [frame for file in sorted(path.rglob("*.json")) for frame in read_frames(file)]
    content = read_json(path)
    frames = content.get("frames") if isinstance(content, Mapping) else content
    if not isinstance(frames, list):
        raise DataError(f"{path}: expected a Scalabel JSON, a list of frames or {{frames: [...]}}")
    return [_frame(entry, path) for entry in frames]


def _frame(entry: Any, path: Path) -> LabeledFrame:
    try:
        name, labels = entry["name"], entry.get("labels") or ()
        return LabeledFrame(path, str(name), tuple(_label(label) for label in labels))
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{path}: expected a frame {{name, labels: [{{id, category, rle | poly2d}}]}}, got "
            f"{entry!r:.200}"
        ) from error


def _label(entry: Mapping[str, Any]) -> Label:
    attributes = entry.get("attributes") or {}
    return Label(
        id=str(entry["id"]),
        category=str(entry.get("category")),
        iscrowd=bool(attributes.get("crowd")) or bool(attributes.get("ignored")),
        rle=entry.get("rle"),
        poly2d=entry.get("poly2d"),
    )


def decode_mask(label: Label, size: tuple[int, int]) -> np.ndarray:
    """[H, W] bool, the pixels of a label that has a mask.

    Polygons are filled as pycocotools does it; Scalabel fills them with matplotlib, which differs
    along the edge.

    Args:
        label: an RLE has its own size.
        size: (height, width) of the image, for polygons.

    Raises:
        DataError: the mask is broken.
    """
    try:
        encoded = _encoded_rle(label.rle) if label.rle is not None else _filled(label.poly2d, size)
        return coco_mask.decode(encoded).astype(bool)
    except Exception as error:  # pycocotools raises many kinds
        raise DataError(f"label {label.id}: its mask cannot be decoded ({error})") from error


def _encoded_rle(rle: Mapping[str, Any]) -> dict[str, Any]:
    height, width = (int(length) for length in rle["size"])
    if min(height, width) < 1 or height * width > MAX_PIXELS:
        raise ValueError(f"size {height}x{width}")
    counts = rle["counts"]
    if isinstance(counts, str):
        return {"size": [height, width], "counts": counts.encode()}
    if sum(counts) != height * width:
        raise ValueError(f"{sum(counts)} pixels, expected {height * width}")
    return coco_mask.frPyObjects({"size": [height, width], "counts": counts}, height, width)


def _filled(poly2d: Any, size: tuple[int, int]) -> dict[str, Any]:
    outlines = [
        _outline(np.asarray(polygon["vertices"], float), polygon.get("types")) for polygon in poly2d
    ]
    outlines = [outline for outline in outlines if len(outline) > 2]
    if not outlines:
        return coco_mask.encode(np.zeros(size, np.uint8, order="F"))
    parts = coco_mask.frPyObjects([outline.ravel().tolist() for outline in outlines], *size)
    return coco_mask.merge(parts)


def _outline(vertices: np.ndarray, types: str | None) -> np.ndarray:
    """[N, 2] corners; each three vertices of type C are a cubic curve from the corner before."""
    if types is None or "C" not in types:
        return vertices
    corners, index = [vertices[0]], 1
    while index < len(vertices):
        if types[index] == "C" and index + 2 <= len(vertices):
            # A curve at the end goes back to the first vertex.
            controls = np.concatenate([vertices, vertices[:1]])[index : index + 3]
            corners.extend(_curve(corners[-1], *controls))
            index += 3
        else:
            corners.append(vertices[index])
            index += 1
    return np.array(corners)


def _curve(start: np.ndarray, first: np.ndarray, second: np.ndarray, end: np.ndarray) -> np.ndarray:
    """[16, 2] points of a cubic Bezier curve, without its start."""
    t = np.linspace(0, 1, _CURVE_STEPS + 1)[1:, np.newaxis]
    return (
        (1 - t) ** 3 * start
        + 3 * (1 - t) ** 2 * t * first
        + 3 * (1 - t) * t**2 * second
        + t**3 * end
    )
