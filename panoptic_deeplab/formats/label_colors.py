"""The labels of one's own that CVAT exports as "Cityscapes 1.0", in its `label_colors.txt`.

A line is `red green blue name`, or the name alone; its number, from 0 on, is the label id in
`*_labelIds.png` and `*_instanceIds.png`, which are as Cityscapes'. The first label is the
background. Following `cityscapes_format.py` of https://github.com/openvinotoolkit/datumaro, which
CVAT calls.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

from panoptic_deeplab.errors import DataError
from panoptic_deeplab.files import open_file
from panoptic_deeplab.formats.cityscapes import LABELS, LabelTable
from panoptic_deeplab.formats.coco import info_of_categories

FILE_NAME = "label_colors.txt"

_BLACK = [0, 0, 0]


def read_label_colors(path: Path) -> list[dict[str, Any]]:
    """Read the labels: `{name}`, with a `color` [r, g, b] where the line has one.

    Raises:
        DataError: the file cannot be read, or its first label is no background.
    """
    with open_file(path) as file:
        try:
            lines = file.read().decode("utf-8-sig").splitlines()
        except (OSError, ValueError) as error:
            raise DataError(f"{path}: cannot be read as text ({error})") from error
    labels = [_label(line) for line in map(str.strip, lines) if line and line[0] != "#"]
    if not labels or not _is_background(labels[0]):
        first = labels[0]["name"] if labels else "none"
        raise DataError(
            f"{path}: expected the background (0 0 0) as the first label, got {first!r}; CVAT "
            "takes a black label for it: give that label another color and export again"
        )
    return labels


def _label(line: str) -> dict[str, Any]:
    *color, name = line.split(maxsplit=3)
    if len(color) == 3 and all(value.isdecimal() for value in color):
        return {"name": name, "color": [int(value) for value in color]}
    return {"name": line}


def _is_background(label: dict[str, Any]) -> bool:
    return label["name"].lower() == "background" or label.get("color") == _BLACK


def are_cityscapes(labels: Sequence[dict[str, Any]]) -> bool:
    """Whether the labels are Cityscapes' under its ids; CVAT writes their names without blanks."""
    official = {label_id: name.replace(" ", "") for label_id, name in LABELS.items()}
    names = [label["name"].replace(" ", "") for label in labels]
    return all(official.get(number, name) == name for number, name in enumerate(names))


def table_of(labels: Sequence[dict[str, Any]], stuff: Collection[str], path: Path) -> LabelTable:
    """Number the labels but the background as classes; the label id is the official id.

    Args:
        labels: as read.
        stuff: the names of those that are surfaces.
        path: the file they come from, for errors.

    Raises:
        DataError: there is none, or two have one name.
    """
    numbered = list(enumerate(labels))[1:]
    entries = [label | {"id": i, "isthing": label["name"] not in stuff} for i, label in numbered]
    info = info_of_categories(entries, path)
    return LabelTable(info, {0: None, **info.index_of_official_id})


def surfaces(labels: Sequence[dict[str, Any]], values: Iterable[int]) -> set[str]:
    """The labels that occur among instance ids, and never with the number of an instance."""
    ids = set(values)
    plain = {value for value in ids if value < 1000}
    counted = {value // 1000 for value in ids - plain}
    return {labels[number]["name"] for number in plain - counted if number < len(labels)}
