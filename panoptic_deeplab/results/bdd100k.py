"""BDD100K's panoptic results in both forms, as its model zoo writes them by `--format-only`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from panoptic_deeplab.errors import DataError
from panoptic_deeplab.files import read_json
from panoptic_deeplab.formats.bdd100k import BDD100K, write_bitmask
from panoptic_deeplab.formats.scalabel import frame_entry, write_frames
from panoptic_deeplab.result import Result
from panoptic_deeplab.results.base import ResultFormat, matched_classes, renamed
from panoptic_deeplab.structures import DatasetInfo


class Bdd100k(ResultFormat):
    """`bdd100k/bitmasks/NAME.png` and all images in `bdd100k/pan_seg.json`.

    NAME is without folders, as the evaluation pairs by it.

    Raises:
        UsageError: the model has a class that BDD100K lacks.
    """

    def __init__(self, folder: Path, info: DatasetInfo) -> None:
        super().__init__(folder / "bdd100k", info)
        self.classes = matched_classes(info, BDD100K, "--format bdd100k")
        self.json_path = self.folder / "pan_seg.json"

    def key(self, name: str) -> str:
        """Return the last part of the name."""
        return Path(name).name

    def written(self) -> dict[str, Any]:
        if not self.json_path.exists():
            return {}
        try:
            frames = {Path(frame["name"]).stem: frame for frame in read_json(self.json_path)}
        except (KeyError, TypeError) as error:
            raise DataError(
                f"{self.json_path}: expected a list of frames, as a prediction writes it, "
                "to add to; remove it or choose another --save_dir"
            ) from error
        return {key: frame for key, frame in frames.items() if self._bitmask(key).is_file()}

    def write(self, name: str, result: Result) -> dict[str, Any]:
        key = self.key(name)
        panoptic = renamed(result.prediction, self.classes)
        write_bitmask(self._bitmask(key), panoptic)
        return frame_entry(key + Path(result.file_name).suffix, panoptic, BDD100K)

    def _bitmask(self, key: str) -> Path:
        return self.folder / "bitmasks" / f"{key}.png"

    def finish(self, entries: Mapping[str, dict[str, Any]]) -> None:
        write_frames(self.json_path, list(entries.values()))
