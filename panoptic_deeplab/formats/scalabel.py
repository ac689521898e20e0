"""Scalabel JSON, the other format of BDD100K's labels: frames with RLE masks or polygons.

Following https://doc.scalabel.ai/format.html; what is written has the format of the `pan_seg.json`
of BDD100K's model zoo (`--format-only`): RLE masks, ids that are whole numbers.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from panoptic_deeplab.errors import DataError, raise_or_collect
from panoptic_deeplab.files import files_below
from panoptic_deeplab.formats.json_items import iterate_items, write_items
from panoptic_deeplab.formats.masks import MAX_OUTLINE, decode_rle, encode_rle, fill_polygons
from panoptic_deeplab.structures import DatasetInfo, PanopticMap, Segment

_CURVE_STEPS = 16
_WORDS_FOR_OFF = ("0", "off", "f", "false", "n", "no")


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
class LabeledFrame:
    """One image: the file it comes from, its name, its labels, and its video's name if any."""

    source: Path
    name: str
    labels: tuple[Label, ...] = ()
    video: str | None = None


def read_frames(path: str | Path) -> list[LabeledFrame]:
    """Read the frames of a Scalabel JSON, or of all JSONs of a folder.

    A file is read frame by frame; what is kept takes no more memory than twice the file's size.

    Raises:
        DataError: a file is missing, unreadable or of another form.
    """
    path = Path(path)
    if path.is_dir():
        return [frame for file in files_below(path, ".json") for frame in read_frames(file)]
    frames = []
    for _, entry in iterate_items(path, "frames", list_as="frames"):
        try:
            frames.append(_frame(entry, path))
        except DataError as error:
            raise_or_collect(error)
    return frames


def _frame(entry: Any, path: Path) -> LabeledFrame:
    try:
        name, video, labels = entry["name"], entry.get("videoName"), entry.get("labels") or ()
        return LabeledFrame(
            path,
            str(name),
            tuple(_label(label) for label in labels),
            None if video is None else str(video),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{path}: expected a frame {{name, labels: [{{id, category, rle | poly2d}}]}}, got "
            f"{entry!r:.200}",
            kind="malformed entry",
            file=path,
        ) from error


def _label(entry: Mapping[str, Any]) -> Label:
    attributes = entry.get("attributes") or {}
    poly2d = entry.get("poly2d")
    return Label(
        id=str(entry["id"]),
        category=sys.intern(str(entry.get("category"))),
        iscrowd=_is_set(attributes.get("crowd")) or _is_set(attributes.get("ignored")),
        rle=_packed(entry.get("rle"), "counts"),
        poly2d=None if poly2d is None else [_packed(part, "vertices") for part in poly2d],
    )


def _is_set(attribute: Any) -> bool:
    """Whether a switch is on; Scalabel takes some words as off."""
    return bool(attribute) and str(attribute).lower() not in _WORDS_FOR_OFF


def _packed(entry: Any, key: str) -> Any:
    """The entry with its list of numbers as an array, which takes a tenth of the memory."""
    values = entry.get(key) if isinstance(entry, Mapping) else None
    if not isinstance(values, list):
        return entry
    try:
        return {**entry, key: np.array(values)}
    except ValueError:  # of several lengths: which the decoder refuses, if the mask is needed
        return entry


def decode_mask(label: Label, size: tuple[int, int]) -> np.ndarray:
    """Decode the mask of a label that has one: [H, W] bool.

    Polygons are filled as pycocotools does it; Scalabel fills them with matplotlib, which differs
    along the edge.

    Args:
        label: an RLE has its own size.
        size: (height, width) of the image, for polygons.

    Raises:
        DataError: the mask is broken.
    """
    try:
        if label.rle is not None:
            return decode_rle(label.rle)
        return fill_polygons([_outline(polygon) for polygon in label.poly2d or ()], size)
    except (DataError, TypeError) as error:
        raise DataError(f"label {label.id}: its mask cannot be decoded ({error})") from error


def _outline(polygon: Mapping[str, Any]) -> np.ndarray:
    """[N, 2] corners; each three vertices of type C are a cubic curve from the corner before."""
    try:
        vertices, types = np.asarray(polygon["vertices"], float), polygon.get("types")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"expected a polygon {{vertices, types}}, got {polygon!r:.100}") from error
    if not vertices.size:
        return np.empty((0, 2))
    if vertices.ndim != 2 or vertices.shape[1] != 2:
        raise DataError(f"expected vertices [[x, y], ...], got {polygon['vertices']!r:.100}")
    if not isinstance(types, str) or "C" not in types or len(types) != len(vertices):
        return vertices
    if not (np.abs(vertices) <= MAX_OUTLINE).all():  # also where one is NaN
        raise DataError(f"expected finite vertices, got {polygon['vertices']!r:.100}")
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


def frame_entry(name: str, panoptic: PanopticMap, info: DatasetInfo) -> dict[str, Any]:
    """Make the frame of one image, in plain types, for `write_frames`.

    Args:
        name: the image's file name, which pairs predictions with annotations.
        panoptic: ids [H, W] and segments; segments without a pixel are left out: the official
            reader refuses them.
        info: names the classes.

    Returns:
        `{name, labels: [{id, category, rle: {counts, size}}]}`; where they are known also `score`
        and, for a crowd, `attributes: {crowd: true}`. The ids are "1", "2", ...
    """
    columns = np.asfortranarray(panoptic.ids)  # RLE counts down the columns
    present = set(np.unique(panoptic.ids).tolist())
    visible = [segment for segment in panoptic.segments if segment.id in present]
    return {
        "name": name,
        "labels": [
            _label_entry(number, segment, columns == segment.id, info)
            for number, segment in enumerate(visible, 1)
        ],
    }


def _label_entry(
    number: int, segment: Segment, mask: np.ndarray, info: DatasetInfo
) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "id": str(number),
        "category": info.categories[segment.category].name,
        "rle": encode_rle(mask),
    }
    if segment.iscrowd:
        entry["attributes"] = {"crowd": True}
    if segment.score is not None:
        entry["score"] = float(segment.score)
    return entry


def write_frames(path: str | Path, frames: Iterable[Mapping[str, Any]]) -> None:
    """Write a Scalabel JSON of the frames that `frame_entry` made, as they come."""
    write_items(path, frames)
