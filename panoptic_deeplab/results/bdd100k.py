"""BDD100K's panoptic results in both forms, as its model zoo writes them by `--format-only`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from panoptic_deeplab.errors import DataError
from panoptic_deeplab.files import read_json
from panoptic_deeplab.formats.bdd100k import BDD100K, bitmask
from panoptic_deeplab.formats.images import encode_image
from panoptic_deeplab.formats.scalabel import frame_entry, write_frames
from panoptic_deeplab.result import Result
from panoptic_deeplab.results.base import (
    Rendered,
    ResultFormat,
    matched_classes,
    not_a_prediction,
    renamed,
)
from panoptic_deeplab.results.journal import Record
from panoptic_deeplab.structures import DatasetInfo


class Bdd100k(ResultFormat):
    """`bdd100k/bitmasks/NAME.png` and all images in `bdd100k/pan_seg.json`.

    NAME is without folders, as the evaluation pairs by it.

    Raises:
        UsageError: the model has a class that BDD100K lacks.
    """

    lists = ("bdd100k/pan_seg.json",)

    def __init__(self, folder: Path, info: DatasetInfo) -> None:
        super().__init__(folder, info)
        self.classes = matched_classes(info, BDD100K, "--format bdd100k")

    def key(self, name: str) -> str:
        """Return the last part of the name."""
        return Path(name).name

    def files(self, key: str) -> list[str]:
        return [f"bdd100k/bitmasks/{key}.png"]

    def former_entries(self) -> dict[str, Any] | None:
        path = self.folder / self.lists[0]
        if not path.exists():
            return None
        try:
            frames = {Path(frame["name"]).stem: frame for frame in read_json(path)}
            are_results = all("score" in label for f in frames.values() for label in f["labels"])
        except (KeyError, TypeError) as error:
            raise DataError(
                f"{path}: expected a list of frames, as a prediction writes it, to add to; remove "
                "it or choose another --save_dir"
            ) from error
        if not are_results:
            raise not_a_prediction(path)
        return frames

    def render(self, name: str, result: Result) -> Rendered:
        key = self.key(name)
        panoptic = renamed(result.prediction, self.classes)
        (path,) = self.files(key)
        entry = frame_entry(key + Path(result.file_name).suffix, panoptic, BDD100K)
        return Rendered({path: encode_image(bitmask(panoptic, path))}, entry)

    def write_lists(self, records: Mapping[str, Record]) -> None:
        frames = (record.entry for record in records.values())
        write_frames(self.folder / self.lists[0], frames)
