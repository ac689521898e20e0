"""All segments of all images as one table, for spreadsheets and scripts."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from panoptic_deeplab.errors import DataError
from panoptic_deeplab.file_names import readable
from panoptic_deeplab.files import open_file, replacing
from panoptic_deeplab.result import Result
from panoptic_deeplab.results.base import Rendered, ResultFormat
from panoptic_deeplab.results.journal import Record

Row = list[str]

COLUMNS = (
    "image",
    "segment_id",
    "class",
    "category_id",
    "is_thing",
    "score",
    "area",
    "left",
    "top",
    "width",
    "height",
    "center_x",
    "center_y",
)
"""In pixels from the left and the top; the center is the mean of the segment's pixel positions."""


class Table(ResultFormat):
    """`segments.csv`, one line per segment: `COLUMNS`."""

    lists = ("segments.csv",)

    def files(self, key: str) -> list[str]:
        return []

    @property
    def path(self) -> Path:
        """The table's file."""
        return self.folder / self.lists[0]

    def former_entries(self) -> dict[str, list[Row]] | None:
        if not self.path.exists():
            return None
        entries: dict[str, list[Row]] = {}
        with open_file(self.path) as file, io.TextIOWrapper(file, "utf-8", newline="") as text:
            try:
                header, *rows = csv.reader(text)
            except (ValueError, csv.Error) as error:
                raise DataError(f"{self.path}: cannot be read as CSV ({error})") from error
        if tuple(header) != COLUMNS:
            raise DataError(
                f"{self.path}: has the columns {','.join(header)!r:.100}, expected "
                f"{','.join(COLUMNS)}; remove it or choose another --save_dir"
            )
        for row in rows:
            entries.setdefault(row[0] if row else "", []).append(row)
        return entries

    def render(self, name: str, result: Result) -> Rendered:
        centers = mass_centers(result.ids)
        rows = []
        for segment in result:
            x0, y0, x1, y1 = segment.box
            y, x = centers[segment.id]
            official_id = self.info.categories[segment.category].official_id
            score = "" if segment.score is None else f"{segment.score:.6f}"
            box = (x0, y0, x1 - x0, y1 - y0)
            what = (segment.label, official_id, int(segment.is_thing), score)
            values = (name, segment.id, *what, segment.area, *box, f"{x:.2f}", f"{y:.2f}")
            rows.append([str(value) for value in values])
        return Rendered({}, rows)

    def write_lists(self, records: Mapping[str, Record]) -> None:
        with (
            replacing(self.path) as temporary,
            temporary.open("w", encoding="utf-8", newline="") as file,
        ):
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(COLUMNS)
            for record in records.values():
                writer.writerows(self._rows(record.entry))

    def _rows(self, entry: Any) -> Iterator[Row]:
        """Yield the rows of an image, which may come from the journal of an earlier prediction."""
        if not isinstance(entry, list) or not all(isinstance(row, list) for row in entry):
            raise DataError(
                f"{self.path}: the journal beside it is damaged (expected rows of a table, got "
                f"{entry!r:.100}); move it away or choose another --save_dir"
            )
        for row in entry:
            yield [readable(str(value)) for value in row]


def mass_centers(ids: np.ndarray) -> np.ndarray:
    """Return the mean (y, x) of each id's pixels, [highest id + 1, 2], NaN without pixels."""
    flat = ids.ravel()
    height, width = ids.shape
    areas = np.bincount(flat)
    rows = np.bincount(flat, np.repeat(np.arange(height), width))
    columns = np.bincount(flat, np.tile(np.arange(width), height))
    with np.errstate(invalid="ignore"):
        return np.stack([rows, columns], axis=1) / areas[:, np.newaxis]
