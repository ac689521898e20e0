"""The entries of a COCO panoptic JSON, checked in one place.

Training, scoring and reading predictions use different parts of an entry; what is a valid entry is
the same for all. Following https://cocodataset.org/#format-data (panoptic segmentation).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from panoptic_deeplab.errors import DataError

_LARGEST = 1 << 53
"""Up to here float64 holds whole numbers exactly."""


@dataclass(frozen=True, slots=True)
class PanopticEntry:
    """What a JSON's `annotations` say of one image.

    Attributes:
        image_id: as in the file, a text or a number.
        file_name: the PNG of ids, relative to its folder.
        segments: the entries of `segments_info`, as in the file.
    """

    image_id: Any
    file_name: str
    segments: list[Any]

    @classmethod
    def of(cls, item: Any, path: str | Path) -> PanopticEntry:
        """Check the form of an item of `annotations`; `path` names the JSON in errors.

        Raises:
            DataError: a part is missing or of another kind.
        """
        try:
            entry = cls(item["image_id"], item["file_name"], item["segments_info"])
            hash(entry.image_id)
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


def number(entry: Any, key: str) -> float:
    """Get a number of an entry, finite and small enough for float64 to hold it exactly.

    Raises:
        DataError: there is none.
    """
    value = _value(entry, key)
    if not _is_number(value):
        raise _unlike(entry, f"a number {key!r}")
    return value


def optional_number(entry: Any, key: str) -> float | None:
    """Get a number of an entry as `number`, None where it is absent or null."""
    return None if _value(entry, key) is None else number(entry, key)


def whole_number(entry: Any, key: str) -> int:
    """Get a whole number of an entry, as `number`; 7.0 is 7."""
    value = _value(entry, key)
    if not _is_number(value) or value != int(value):
        raise _unlike(entry, f"a whole number {key!r}")
    return int(value)


def _value(entry: Any, key: str) -> Any:
    return entry.get(key) if isinstance(entry, Mapping) else None


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and abs(value) <= _LARGEST  # NaN is not either


def _unlike(entry: Any, expected: str) -> DataError:
    return DataError(
        f"expected an entry with {expected}, got {entry!r:.200}", kind="malformed entry"
    )
