"""The entries of a COCO panoptic JSON, checked in one place.

Training, scoring and reading predictions use different parts of an entry; what is a valid entry is
the same for all. Following https://cocodataset.org/#format-data (panoptic segmentation).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from panoptic_deeplab.errors import DataError

_LARGEST = 1 << 53
"""Up to here float64 holds whole numbers exactly."""

_NUMBER = re.compile(r"-?\d{1,16}(\.\d*)?", re.ASCII)
_FLAGS = {"0": False, "false": False, "0.0": False, "1": True, "true": True, "1.0": True}


@dataclass(frozen=True, slots=True)
class PanopticEntry:
    """What a JSON's `annotations` say of one image.

    Attributes:
        image_id: as `image_id_of` reads it.
        file_name: the PNG of ids, relative to its folder.
        segments: the entries of `segments_info`, as in the file.
    """

    image_id: str
    file_name: str
    segments: list[Any]

    @classmethod
    def of(cls, item: Any, path: str | Path) -> PanopticEntry:
        """Check the form of an item of `annotations`; `path` names the JSON in errors.

        Raises:
            DataError: a part is missing or of another kind.
        """
        try:
            image_id = image_id_of(item["image_id"])
            entry = cls(image_id, item["file_name"], item["segments_info"])
        except (KeyError, TypeError) as error:
            raise DataError(
                f"{path}: expected an annotation: image_id, file_name and segments_info are "
                f"needed; got {item!r:.200}",
                kind="malformed entry",
                file=path,
            ) from error
        for name, kind, value in (
            ("file_name", str, entry.file_name),
            ("segments_info", list, entry.segments),
        ):
            if not isinstance(value, kind):
                expected = "a file_name" if kind is str else f"a list under '{name}'"
                raise DataError(
                    f"{path}: image {entry.image_id}: expected {expected}, got {value!r:.80}",
                    kind="malformed entry",
                    file=path,
                )
        return entry


def image_id_of(value: Any) -> str:
    """Read the id of an image, so that 7, 7.0 and "7" are one: programs do not keep them apart.

    Raises:
        TypeError: it is neither a text nor a number.
    """
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise TypeError(f"the id of an image is {value!r:.50}")
    return str(int(value) if isinstance(value, float) and value.is_integer() else value)


def number(entry: Any, key: str) -> float:
    """Get a number of an entry, finite and small enough for float64 to hold it exactly.

    Raises:
        DataError: there is none, not even as text.
    """
    value = _number(_value(entry, key))
    if value is None:
        raise _unlike(entry, f"a number {key!r}")
    return value


def optional_number(entry: Any, key: str) -> float | None:
    """Get a number of an entry as `number`, None where it is absent or null."""
    return None if _value(entry, key) is None else number(entry, key)


def whole_number(entry: Any, key: str) -> int:
    """Get a whole number of an entry, as `number`; 7.0 and "7" are 7."""
    value = _number(_value(entry, key))
    if value is None or value != int(value):
        raise _unlike(entry, f"a whole number {key!r}")
    return int(value)


def flag(entry: Any, key: str) -> bool | None:
    """Get a flag of an entry: 0, 1, true or false, also as text; None where it is absent or null.

    Raises:
        DataError: it is something else.
    """
    value = _value(entry, key)
    if value is None:
        return None
    found = _FLAGS.get(str(value).strip().lower())
    if found is None:
        raise _unlike(entry, f"0 or 1 as {key!r}")
    return found


def _value(entry: Any, key: str) -> Any:
    return entry.get(key) if isinstance(entry, Mapping) else None


def _number(value: Any) -> float | None:
    """A number, also as text; None for all else. NaN is no number either."""
    if isinstance(value, str):
        text = value.strip()
        value = (float if "." in text else int)(text) if _NUMBER.fullmatch(text) else None
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return value if is_number and abs(value) <= _LARGEST else None


def _unlike(entry: Any, expected: str) -> DataError:
    return DataError(
        f"expected an entry with {expected}, got {entry!r:.200}", kind="malformed entry"
    )
