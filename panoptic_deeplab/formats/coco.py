"""COCO panoptic form: one JSON of segments and one PNG of ids an image.

Cityscapes' prepared annotations have the same form. Following
https://cocodataset.org/#format-data (panoptic segmentation).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from panoptic_deeplab.errors import DataError
from panoptic_deeplab.files import read_json, write_json
from panoptic_deeplab.formats.images import read_ids
from panoptic_deeplab.structures import DatasetInfo, PanopticMap, Segment


@dataclass(frozen=True)
class Annotation:
    """What the JSON says of one image."""

    image_id: str
    file_name: str
    segments: tuple[Segment, ...]


def read_annotations(path: str | Path, info: DatasetInfo) -> list[Annotation]:
    """The annotations of a panoptic JSON, with category ids made class indices.

    Raises:
        DataError: the file is unreadable, has another form, or names a category `info` lacks.
    """
    content = read_json(path)
    if not isinstance(content, Mapping) or not isinstance(content.get("annotations"), list):
        raise DataError(f"{path}: expected a COCO panoptic JSON with a list under 'annotations'")
    _check_categories(content.get("categories", []), info, path)
    return [_annotation(entry, info, path) for entry in content["annotations"]]


def _check_categories(entries: Any, info: DatasetInfo, path: str | Path) -> None:
    """Refuses a file that numbers the classes of `info` in another way."""
    official_ids = {category.name: category.official_id for category in info.categories}
    for entry in entries if isinstance(entries, list) else []:
        name, number = (
            (entry.get("name"), entry.get("id")) if isinstance(entry, Mapping) else (0, 0)
        )
        if isinstance(name, str) and official_ids.get(name, number) != number:
            raise DataError(
                f"{path}: category {name!r} has id {number!r}, in {info.name} it is "
                f"{official_ids[name]}"
            )


def _annotation(entry: Any, info: DatasetInfo, path: str | Path) -> Annotation:
    try:
        image_id, file_name = str(entry["image_id"]), str(entry["file_name"])
        segments_info = list(entry["segments_info"])
    except (KeyError, TypeError, RecursionError) as error:
        raise DataError(
            f"{path}: image_id, file_name and segments_info are needed; got {entry!r:.200}"
        ) from error
    if not (image_id + file_name).isprintable():
        raise DataError(
            f"{path}: image_id {image_id!r:.100} or file_name {file_name!r:.100} has control "
            "characters"
        )
    if Path(file_name).is_absolute() or ".." in Path(file_name).parts:
        raise DataError(f"{path}: file_name {file_name!r} points outside the annotation folder")
    try:
        segments = tuple(Segment.from_json(segment, info) for segment in segments_info)
    except DataError as error:
        raise DataError(f"{path}: image {image_id}: {error}") from error
    return Annotation(image_id, file_name, segments)


def read_panoptic_map(png: str | Path, segments: Sequence[Segment]) -> PanopticMap:
    """The id map of one image together with its segments.

    Raises:
        DataError: the PNG is unreadable or holds an id that no segment has.
    """
    ids = read_ids(png)
    known = np.zeros(int(ids.max(initial=0)) + 1, bool)
    known[0] = True
    known[[segment.id for segment in segments if segment.id < len(known)]] = True
    if not known.all():
        owned = known[ids]
        if not owned.all():
            y, x = np.argwhere(~owned)[0]
            raise DataError(
                f"{png}: id {ids[y, x]} at pixel (y {y}, x {x}) is not in the JSON; "
                "PNG and JSON are not of one run, prepare them again"
            )
    return PanopticMap(ids, segments)


def segments_info(
    ids: np.ndarray, segments: Iterable[Segment], info: DatasetInfo
) -> list[dict[str, Any]]:
    """Entries of `segments_info`, official category ids, with box (x, y, width, height)."""
    boxes = bounding_boxes(ids)
    entries = []
    for segment in segments:
        top, left, bottom, right = boxes[segment.id]
        category = info.categories[segment.category]
        entry = {
            "id": segment.id,
            "category_id": category.official_id,
            "area": segment.area,
            "bbox": [left, top, right - left, bottom - top],
            "iscrowd": int(segment.iscrowd),
            "isthing": int(category.is_thing),
        }
        if segment.score is not None:
            entry["score"] = round(float(segment.score), 6)
        entries.append(entry)
    return entries


def bounding_boxes(ids: np.ndarray) -> dict[int, tuple[int, int, int, int]]:
    """(top, left, bottom, right), end exclusive, of every id above 0."""
    rows, columns = np.nonzero(ids)
    present, slots = np.unique(ids[rows, columns], return_inverse=True)
    lowest = np.full((2, len(present)), np.iinfo(np.int32).max, np.int64)
    highest = np.full((2, len(present)), -1, np.int64)
    for axis, positions in enumerate((rows, columns)):
        np.minimum.at(lowest[axis], slots, positions)
        np.maximum.at(highest[axis], slots, positions)
    return {
        int(i): (int(top), int(left), int(bottom) + 1, int(right) + 1)
        for i, top, left, bottom, right in zip(present, *lowest, *highest, strict=True)
    }


def panoptic_json(
    images: Sequence[dict[str, Any]], annotations: Sequence[dict[str, Any]], info: DatasetInfo
) -> dict[str, Any]:
    """The whole content of a COCO panoptic JSON."""
    return {
        "images": list(images),
        "annotations": list(annotations),
        "categories": info.to_dict()["categories"],
    }


def write_panoptic_json(
    path: str | Path,
    images: Sequence[dict[str, Any]],
    annotations: Sequence[dict[str, Any]],
    info: DatasetInfo,
) -> None:
    """Writes `panoptic_json(...)`."""
    write_json(path, panoptic_json(images, annotations, info))
