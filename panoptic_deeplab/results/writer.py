"""The chosen forms of results, written together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from panoptic_deeplab.errors import UsageError
from panoptic_deeplab.result import Result
from panoptic_deeplab.results.base import ResultFormat
from panoptic_deeplab.results.bdd100k import Bdd100k
from panoptic_deeplab.results.cityscapes import Cityscapes
from panoptic_deeplab.results.coco import Coco
from panoptic_deeplab.results.crops import Crops
from panoptic_deeplab.results.images import Images
from panoptic_deeplab.results.kitti import Kitti
from panoptic_deeplab.results.table import Table
from panoptic_deeplab.stopwatch import Stopwatch
from panoptic_deeplab.structures import DatasetInfo

WRITERS: dict[str, type[ResultFormat]] = {
    "images": Images,
    "coco": Coco,
    "cityscapes": Cityscapes,
    "bdd100k": Bdd100k,
    "kitti": Kitti,
    "csv": Table,
    "crops": Crops,
}
"""The writer of each of `panoptic_deeplab.results.FORMATS`."""

Entry = tuple[str, dict[str, Any]]


class ResultWriter:
    """Writes the results of each image below one folder, in one form or several.

    A later run into the same folder adds to the lists there (`panoptic.json` and the like);
    where an image is predicted twice, the later result stays.

    Args:
        folder: where the results go.
        info: the model's classes.
        formats: names of `WRITERS`.
        names: the names of all images to come.

    Raises:
        UsageError: a form lacks a class of the model, two images would have one name in a form,
            or the folder holds results of other classes.
        DataError: a list in the folder is none that a prediction wrote.
    """

    def __init__(
        self,
        folder: str | Path,
        info: DatasetInfo,
        formats: Sequence[str] = ("images",),
        names: Sequence[str] = (),
    ) -> None:
        self.formats = {name: WRITERS[name](Path(folder), info) for name in formats}
        self._stopwatch = Stopwatch()
        for name, form in self.formats.items():
            _refuse_shared_names(name, form, names)
            form.written()  # refuses what `finish` could not add to, before the work

    @property
    def seconds(self) -> dict[str, float]:
        """Time spent so far in `drawing`, if anything is drawn, and in `writing`."""
        apart: dict[str, float] = {}
        for form in self.formats.values():
            apart |= form.stopwatch.seconds
        total = self._stopwatch.seconds.get("writing", 0.0)
        return apart | {"writing": total - sum(apart.values())}

    def write(self, name: str, result: Result) -> Entry:
        """Write one image's files and return its entries for `finish`."""
        with self._stopwatch.timing("writing"):
            return name, {kind: form.write(name, result) for kind, form in self.formats.items()}

    def finish(self, entries: Sequence[Entry]) -> None:
        """Write the lists of all images, those of earlier runs in the folder included."""
        for kind, form in self.formats.items():
            new = {form.key(name): parts[kind] for name, parts in entries}
            form.finish(dict(sorted((form.written() | new).items())))


def _refuse_shared_names(kind: str, form: ResultFormat, names: Sequence[str]) -> None:
    owners: dict[str, str] = {}
    for name in names:
        key = form.key(name)
        if key in owners:
            raise UsageError(
                f"--format {kind}: the images {owners[key]} and {name} would both be called "
                f"{key}; predict them into different --save_dir"
            )
        owners[key] = name
