"""COCO panoptic format: one JSON of segments, and one PNG of ids per image.

Cityscapes' prepared annotations have the same format. Following
https://cocodataset.org/#format-data (panoptic segmentation).
"""

from __future__ import annotations

import colorsys
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from panoptic_deeplab.errors import DataError, collect, raise_or_collect
from panoptic_deeplab.file_names import readable
from panoptic_deeplab.files import as_json, replacing
from panoptic_deeplab.formats.images import read_ids
from panoptic_deeplab.formats.json_items import iterate_items, separated
from panoptic_deeplab.formats.panoptic_json import (
    PanopticEntry,
    flag,
    image_id_of,
    optional_number,
    whole_number,
)
from panoptic_deeplab.id_maps import distinct_ids, measure_ids, run_starts
from panoptic_deeplab.structures import (
    VOID_ID,
    Category,
    DatasetInfo,
    PanopticMap,
    Segment,
    usual_ignore_index,
)

Color = tuple[int, int, int]

_GOLDEN_ANGLE = 0.618033988749895  # of a circle: any number of hues in a row lie far apart
_SHADES = ((0.85, 0.95), (0.55, 0.85), (0.95, 0.65))  # saturation and value, taken in turn


@dataclass(frozen=True, slots=True)
class Annotation:
    """What the JSON says of one image."""

    image_id: str
    file_name: str
    segments: tuple[Segment, ...] = ()


@dataclass(frozen=True)
class PanopticFile:
    """What a panoptic JSON holds.

    Attributes:
        annotations: those that can be used; none in a JSON of images without ground truth.
        images: image id -> file name, as its `images` say.
    """

    annotations: list[Annotation]
    images: dict[str, str]


def read_info(path: str | Path) -> DatasetInfo:
    """Read the classes of a panoptic JSON, in the order of its `categories`.

    A class without a color gets one of its own, the same at each reading.

    Raises:
        DataError: the file is unreadable, or its categories are missing or of another form.
    """
    return info_of_categories([entry for _, entry in iterate_items(path, "categories")], path)


def info_of_categories(entries: Sequence[Any], path: str | Path) -> DatasetInfo:
    """Make the classes that entries of `categories` describe; `path` names the data set in errors.

    Raises:
        DataError: there is none, or one has another form.
    """
    colors = _colors(entries)
    try:
        _check_kinds(entries)
        categories = tuple(
            _category(entry, color) for entry, color in zip(entries, colors, strict=True)
        )
        name = readable(Path(path).stem)
        return DatasetInfo(name, categories, usual_ignore_index(len(categories)))
    except DataError as error:
        kind = error.kind if error.kind == _UNKNOWN_KIND else "class table"
        raise DataError(f"{path}: {error}", kind=kind, file=path) from error


_UNKNOWN_KIND = "thing or stuff"


def _check_kinds(entries: Sequence[Any]) -> None:
    """Refuse categories of which nothing tells whether their instances are counted."""
    named = [entry for entry in entries if isinstance(entry, Mapping) and "name" in entry]
    silent = [str(entry["name"]) for entry in named if flag(entry, "isthing") is None]
    if silent:
        raise DataError(
            f"of {len(entries)} categories {len(silent)} lack isthing: {', '.join(silent):.200}; "
            "write 1 for a thing, whose instances are counted, and 0 for stuff, or list all under "
            "categories: in the configuration (a JSON of instances alone: panoptic-deeplab convert "
            "from-coco-instances)",
            kind=_UNKNOWN_KIND,
        )


def _category(entry: Any, color: Color) -> Category:
    name = entry.get("name") if isinstance(entry, Mapping) else None
    if not isinstance(name, (str, int, float)):
        raise DataError(f"a category needs id, name and isthing, got {entry!r:.100}")
    return Category(str(name), bool(flag(entry, "isthing")), color, whole_number(entry, "id"))


def _colors(entries: Sequence[Any]) -> list[Color]:
    """The entries' own colors; an entry without one gets a color that no other has."""
    own = [_own_color(entry) for entry in entries]
    free = (color for color in _distinct_colors() if color not in own)
    return [next(free) if color is None else color for color in own]


def _own_color(entry: Any) -> Color | None:
    values = entry.get("color") if isinstance(entry, Mapping) else None
    if not isinstance(values, list) or len(values) != 3:
        return None
    if not all(isinstance(value, int) and 0 <= value <= 255 for value in values):
        return None
    return values[0], values[1], values[2]


def _distinct_colors() -> Iterator[Color]:
    """Yield colors that are easy to distinguish."""
    for index in itertools.count():
        hue = (index * _GOLDEN_ANGLE) % 1
        saturation, value = _SHADES[index % len(_SHADES)]
        red, green, blue = colorsys.hsv_to_rgb(hue, saturation, value)
        yield round(255 * red), round(255 * green), round(255 * blue)


def read_panoptic_file(path: str | Path, info: DatasetInfo) -> PanopticFile:
    """Read a panoptic JSON item by item, with category ids made class indices.

    Raises:
        DataError: the file is unreadable, has another form, uses a category that `info` lacks, or
            names or numbers one in another way; the message says where the classes differ.
    """
    content = _read_lists(path, info)
    if not content.annotations and not content.images:
        raise DataError(
            f"{path}: expected a COCO panoptic JSON with entries under 'annotations' or 'images'",
            kind="malformed entry",
            file=path,
        )
    return content


def read_annotations(path: str | Path, info: DatasetInfo) -> list[Annotation]:
    """As `read_panoptic_file`, for a JSON that must have a list of annotations."""
    return _read_lists(path, info, "annotations").annotations


def _read_lists(path: str | Path, info: DatasetInfo, *needed: str) -> PanopticFile:
    content = PanopticFile([], {})
    categories = []
    lists = ("annotations", "images", "categories")
    try:
        for key, entry in iterate_items(path, *needed, optional=lists):
            if key == "annotations":
                content.annotations.extend(_usable_annotation(entry, info, path))
            elif key == "images":
                content.images.update(_image(entry, path))
            else:
                categories.append(entry)
    except DataError as error:
        if error.kind == "unknown category":
            _raise_difference(error, info, path)
        raise
    _check_categories(categories, info, path)
    return content


def _raise_difference(error: DataError, info: DatasetInfo, path: str | Path) -> None:
    """Raise what the file calls an unknown category, which it may list anywhere."""
    entries = [entry for _, entry in iterate_items(path, optional=["categories"])]
    _check_categories(entries, info, path)
    number = error.where["category_id"]
    names = [e.get("name") for e in entries if _official_id(e) == number]
    if names:
        raise DataError(
            f"{path}: uses the category {names[0]!r} (id {number}), which is none of the "
            f"{info.num_classes} categories of {info.name}; all splits need the same classes",
            kind="class table",
            file=path,
        ) from error


def _check_categories(entries: Iterable[Any], info: DatasetInfo, path: str | Path) -> None:
    """Refuse a file with other ids, names or kinds (thing, stuff) for the classes of `info`."""
    by_name = {category.name: category for category in info.categories}
    by_id = {category.official_id: category for category in info.categories}
    for entry in entries:
        name, number = (
            entry.get("name") if isinstance(entry, Mapping) else None,
            _official_id(entry),
        )
        known = by_name.get(name) if isinstance(name, str) else None
        if known is not None and known.official_id != number:
            difference = f"has id {number!r}, in {info.name} it is {known.official_id}"
        elif known is None and number in by_id:
            difference = f"has id {number!r}, which is {by_id[number].name!r} in {info.name}"
        elif known is not None and flag(entry, "isthing") not in (None, known.is_thing):
            kinds = ("a thing", "stuff") if known.is_thing else ("stuff", "a thing")
            difference = f"is {kinds[1]} here and {kinds[0]} in {info.name}"
        else:
            continue
        problem = f"{path}: category {name!r} {difference}"
        raise_or_collect(DataError(problem, kind="class table", file=path))


def _official_id(entry: Any) -> int | None:
    """The id of an entry of `categories`, None where it has none."""
    try:
        return whole_number(entry, "id")
    except DataError:
        return None


def _image(entry: Any, path: str | Path) -> dict[str, str]:
    try:
        return {image_id_of(entry["id"]): str(entry["file_name"])}
    except (KeyError, TypeError):
        problem = f"{path}: an image needs id and file_name; got {entry!r:.200}"
        raise_or_collect(DataError(problem, kind="malformed entry", file=path))
        return {}


def _usable_annotation(item: Any, info: DatasetInfo, path: str | Path) -> list[Annotation]:
    """The annotation in a list, which is empty where a fault was collected."""
    try:
        entry = PanopticEntry.of(item, path)
        _check_names(entry, path)
    except DataError as error:
        raise_or_collect(error)
        return []
    image_id = entry.image_id
    place = {"file": path, "image_id": image_id}
    segments = {}
    for segment_entry in entry.segments:
        try:
            segment = segment_of(segment_entry, info)
        except DataError as error:
            message = f"{path}: image {image_id}: {error}"
            raise_or_collect(DataError(message, kind=error.kind, **(error.where | place)))
            return []
        if segment.id in segments:
            message = f"{path}: image {image_id}: segment {segment.id} is listed twice"
            collect(DataError(message, kind="duplicate segment", segment_id=segment.id, **place))
        segments[segment.id] = segment
    return [Annotation(image_id, entry.file_name, tuple(segments.values()))]


def segment_of(entry: Any, info: DatasetInfo) -> Segment:
    """Make a segment of an entry of `segments_info`; the category id becomes a class index.

    Without an `iscrowd` it is no crowd; without an `area` the pixels of its map count.

    Raises:
        DataError: a key is missing, not a whole number, or the category is not in `info`.
    """
    segment_id, category_id = whole_number(entry, "id"), whole_number(entry, "category_id")
    area = optional_number(entry, "area")
    iscrowd = bool(flag(entry, "iscrowd"))
    if not 0 < segment_id < 1 << 24:
        raise DataError(
            f"segment id {segment_id!r:.30} is outside 1..{(1 << 24) - 1}",
            kind="malformed entry",
        )
    if category_id not in info.index_of_official_id:
        raise DataError(
            f"segment {segment_id} has category_id {category_id!r:.30}, which is none of the "
            f"{info.num_classes} categories of {info.name}",
            kind="unknown category",
            segment_id=segment_id,
            category_id=category_id,
        )
    category = info.index_of_official_id[category_id]
    is_thing = info.categories[category].is_thing
    return Segment(segment_id, category, iscrowd, area, is_thing)


def _check_names(entry: PanopticEntry, path: str | Path) -> None:
    """Refuse an annotation whose names cannot be printed."""
    image_id, file_name = entry.image_id, entry.file_name
    if not (image_id + file_name).isprintable():
        raise DataError(
            f"{path}: image_id {image_id!r:.100} or file_name {file_name!r:.100} has control "
            "characters",
            kind="malformed entry",
            file=path,
        )


def read_panoptic_map(
    png: str | Path, segments: Sequence[Segment], info: DatasetInfo | None = None
) -> PanopticMap:
    """Read the id map of one image, for its segments.

    Args:
        png: the file.
        segments: of the image.
        info: the classes; with them a PNG that holds their colors is told from one of other ids.

    Raises:
        DataError: the PNG is unreadable or holds an id that no segment has.
    """
    ids = read_ids(png)
    known = np.zeros(int(ids.max(initial=0)) + 1, bool)
    known[0] = True
    known[[segment.id for segment in segments if segment.id < len(known)]] = True
    if not known.all() and not known[ids.ravel()[run_starts(ids)]].all():
        unlisted = np.where(known[ids], VOID_ID, ids)
        if info is not None:
            _refuse_colors(png, unlisted, info)
        _refuse_unlisted(png, unlisted)
    return PanopticMap(ids, segments)


def _refuse_colors(png: str | Path, unlisted: np.ndarray, info: DatasetInfo) -> None:
    """Refuse a map of which all unlisted ids are colors of classes."""
    name_of_color = {
        category.color[0] + 256 * category.color[1] + 65536 * category.color[2]: category.name
        for category in info.categories
    }
    names = [name_of_color.get(value) for value in distinct_ids(unlisted) if value != VOID_ID]
    if None not in names:
        raise DataError(
            f"{png}: holds the colors of classes ({', '.join(map(str, names)):.100}) in place of "
            "ids of segments",
            kind="no map of ids",
            file=png,
        )


def _refuse_unlisted(png: str | Path, unlisted: np.ndarray) -> None:
    """Refuse each id of a map that holds only ids without a segment."""
    measures = measure_ids(unlisted)
    for value, (y, x) in zip(measures.ids.tolist(), measures.first.tolist(), strict=True):
        if value != VOID_ID:
            raise_or_collect(
                DataError(
                    f"{png}: id {value} at pixel (y {y}, x {x}) is not in the JSON; "
                    "PNG and JSON are not of one run, prepare them again",
                    kind="id not in JSON",
                    file=png,
                    segment_id=value,
                    pixel=(y, x),
                )
            )


def read_boxes(path: str | Path) -> dict[str, np.ndarray]:
    """Read the boxes: image id -> [N, 5] float64 (segment id, x, y, width, height).

    Segments without a box of four finite numbers, and entries of another form, are skipped.

    Raises:
        DataError: the file is unreadable.
    """
    boxes = {}
    for _, entry in iterate_items(path, optional=["annotations"]):
        try:
            listed = [(s["id"], *s["bbox"]) for s in entry["segments_info"] if s.get("bbox")]
            rows = np.array(listed, np.float64).reshape(-1, 5)
            boxes[image_id_of(entry["image_id"])] = rows[np.isfinite(rows).all(axis=1)]
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
            continue
    return boxes


def segments_info(
    ids: np.ndarray, segments: Iterable[Segment], info: DatasetInfo
) -> list[dict[str, Any]]:
    """Make the entries of `segments_info`, with official category ids and boxes (x, y, w, h)."""
    measures = measure_ids(ids)
    places = {number: place for place, number in enumerate(measures.ids.tolist())}
    entries = []
    for segment in segments:
        place = places[segment.id]
        top, left, bottom, right = measures.boxes[place].tolist()
        counted = int(measures.areas[place])
        category = info.categories[segment.category]
        entry = {
            "id": segment.id,
            "category_id": category.official_id,
            "area": counted if segment.area is None else segment.area,
            "bbox": [left, top, right - left, bottom - top],
            "iscrowd": int(segment.iscrowd),
            "isthing": int(category.is_thing),
        }
        if segment.score is not None:
            entry["score"] = float(segment.score)
        if segment.track_id is not None:
            entry["track_id"] = segment.track_id
        entries.append(entry)
    return entries


def bounding_boxes(ids: np.ndarray) -> dict[int, tuple[int, int, int, int]]:
    """(top, left, bottom, right), end exclusive, of every id above 0."""
    measures = measure_ids(ids)
    return {
        number: tuple(box)
        for number, box in zip(measures.ids.tolist(), measures.boxes.tolist(), strict=True)
        if number > 0
    }


def write_panoptic_json(
    path: str | Path,
    images: Iterable[dict[str, Any]],
    annotations: Iterable[dict[str, Any]],
    info: DatasetInfo,
) -> None:
    """Write a COCO panoptic JSON in place of `path`, entry by entry as they come."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write('{"images": [')
        file.writelines(separated(images))
        file.write('], "annotations": [')
        file.writelines(separated(annotations))
        file.write(f'], "categories": {as_json(info.to_dict()["categories"])}}}\n')
