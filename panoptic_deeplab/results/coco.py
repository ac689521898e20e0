"""COCO panoptic results, as panopticapi and the COCO server read them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from panoptic_deeplab.result import Result
from panoptic_deeplab.results.base import Rendered, ResultFormat
from panoptic_deeplab.results.journal import Record
from panoptic_deeplab.results.panoptic_files import Entry, PanopticFiles, listed_name
from panoptic_deeplab.structures import DatasetInfo


class Coco(ResultFormat):
    """`coco/panoptic.json` and the PNGs in `coco/panoptic/`.

    An image whose file name is a number has that number as its id, as in COCO.
    """

    def __init__(self, folder: Path, info: DatasetInfo) -> None:
        super().__init__(folder, info)
        self.ids = PanopticFiles(folder, "coco/panoptic", info)
        self.lists, self.categories = self.ids.lists, self.ids.categories

    def files(self, key: str) -> list[str]:
        return [self.ids.png(key)]

    def former_entries(self) -> dict[str, Entry] | None:
        return self.ids.former_entries()

    def render(self, name: str, result: Result) -> Rendered:
        png, entry = self.ids.render(name, listed_name(name, result), result.prediction)
        return Rendered({self.ids.png(name): png}, entry)

    def write_lists(self, records: Mapping[str, Record]) -> None:
        self.ids.write_list(records, image_ids(records))


def image_ids(names: Iterable[str]) -> dict[str, int | str]:
    """Return the id of each image: 139 for `val/000139`, the name where that is not unique."""
    numbers = {name: _number(name) for name in names}
    counts = Counter(numbers.values())
    return {
        name: name if number is None or counts[number] > 1 else number
        for name, number in numbers.items()
    }


def _number(name: str) -> int | None:
    stem = Path(name).name
    return int(stem) if stem.isascii() and stem.isdigit() and len(stem) < 19 else None
