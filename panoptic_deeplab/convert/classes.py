"""Classes as a user lists them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from panoptic_deeplab.errors import DataError, UsageError, nearest
from panoptic_deeplab.files import read_json
from panoptic_deeplab.formats.coco import info_of_categories
from panoptic_deeplab.formats.json_items import iterate_items
from panoptic_deeplab.structures import DatasetInfo
from panoptic_deeplab.yaml_files import read_yaml


def classes_of_names(things: str, stuff: str) -> DatasetInfo:
    """Make the classes of two comma-separated lists, numbered from 1, things first.

    Raises:
        UsageError: both are empty, or a name is listed twice.
    """
    entries = [
        {"id": number, "name": name, "isthing": is_thing}
        for number, (name, is_thing) in enumerate(
            [(name, 1) for name in _names(things)] + [(name, 0) for name in _names(stuff)], 1
        )
    ]
    try:
        return info_of_categories(entries, "--things and --stuff")
    except DataError as error:
        raise UsageError(str(error)) from error


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def read_classes(path: Path) -> DatasetInfo:
    """Read the classes of a YAML or JSON: a list of `{name, isthing}`, perhaps under `categories`.

    A COCO panoptic JSON is such a file. A missing `id` is the place in the list, from 1 on; a
    missing `color` is chosen here.

    Raises:
        DataError: the file is unreadable or of another form.
    """
    if path.suffix == ".json":
        entries = [entry for _, entry in iterate_items(path, "categories", list_as="categories")]
    else:
        entries = _entries_of_yaml(path)
    if not all(isinstance(entry, Mapping) for entry in entries):
        raise DataError(f"{path}: expected classes {{name, isthing}}, got {entries[0]!r:.80}")
    return info_of_categories(
        [{"id": number, **entry} for number, entry in enumerate(entries, 1)], path
    )


def _entries_of_yaml(path: Path) -> list[Any]:
    content = read_yaml(path)
    entries = content.get("categories") if isinstance(content, Mapping) else content
    if not isinstance(entries, list):
        raise DataError(
            f"{path}: expected a list of classes {{name, isthing}}, or one under 'categories'"
        )
    return entries


def with_stuff(info: DatasetInfo, names: Sequence[str]) -> DatasetInfo:
    """Add the names that are new as stuff classes, numbered after the others."""
    categories: list[dict[str, Any]] = info.to_dict()["categories"]
    new = [name for name in dict.fromkeys(names) if name not in info.index_of_name]
    first = max(category.official_id for category in info.categories) + 1
    categories += [
        {"id": number, "name": name, "isthing": 0} for number, name in enumerate(new, first)
    ]
    return info_of_categories(categories, info.name)


def marked_as_stuff(info: DatasetInfo, names: str) -> DatasetInfo:
    """Make the classes of a comma-separated list stuff.

    Raises:
        UsageError: a name is none of the classes.
    """
    listed = _names(names)
    for name in listed:
        if name not in info.index_of_name:
            raise UsageError(
                f"--stuff: {name!r} is none of the {info.num_classes} classes of {info.name}"
                f"{nearest(name, info.index_of_name)}"
            )
    categories = tuple(
        replace(category, is_thing=category.is_thing and category.name not in listed)
        for category in info.categories
    )
    return replace(info, categories=categories)


def names_of_values(text: str) -> dict[int, str]:
    """Map the values of a semantic PNG to names: from `road,sky` or a JSON list or object.

    The first name of a list is for the value 0; an object maps values to names.

    Raises:
        DataError: the JSON is neither a list nor an object of names.
    """
    if not text.endswith(".json"):
        return dict(enumerate(_names(text)))
    content = read_json(text)
    pairs = content.items() if isinstance(content, Mapping) else None
    try:
        pairs = enumerate(content) if pairs is None else pairs
        return {int(value): str(name) for value, name in pairs}
    except (TypeError, ValueError) as error:
        raise DataError(
            f"{text}: expected a list of names or an object {{value: name}}, got {content!r:.100}"
        ) from error
