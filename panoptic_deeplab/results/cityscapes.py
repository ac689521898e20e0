"""Results as the Cityscapes server takes them: panoptic, pixel-level and instance-level.

Following https://www.cityscapes-dataset.com/submit/ and the readers in cityscapesscripts.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np

from panoptic_deeplab.files import replacing
from panoptic_deeplab.formats.cityscapes import CITYSCAPES, LABEL_IDS, WITH_LABEL_IDS
from panoptic_deeplab.formats.images import encode_image
from panoptic_deeplab.progress import progress_bar
from panoptic_deeplab.result import Result
from panoptic_deeplab.results.base import Rendered, ResultFormat, matched_classes, renamed
from panoptic_deeplab.results.journal import Record
from panoptic_deeplab.results.panoptic_files import Entry, PanopticFiles
from panoptic_deeplab.structures import DatasetInfo, PanopticMap

_IMAGE_ENDING = "_leftImg8bit"
_TASKS = ("panoptic", "pixel", "instance")
_DEFAULT_SCORE = 1.0  # where a method gives none


class Cityscapes(ResultFormat):
    """Results under `cityscapes/`, and a zip of each of the three tasks.

    - `panoptic.json` and `panoptic/BASE.png`;
    - `pixel/BASE.png`: label ids, of the semantic branch if there is one;
    - `instance/BASE.txt`, a line `masks/BASE/ID.png labelId score` per thing, and the masks;
    - `panoptic.zip`, `pixel.zip`, `instance.zip`: the same, without the folder `cityscapes`.

    BASE is the image's file name without `_leftImg8bit`, as the evaluation pairs by it.

    Raises:
        UsageError: the model has a class that Cityscapes does not evaluate.
    """

    lists = tuple(f"cityscapes/{n}" for n in ("panoptic.json", *(f"{t}.zip" for t in _TASKS)))

    def __init__(self, folder: Path, info: DatasetInfo) -> None:
        super().__init__(folder, info)
        self.classes = matched_classes(info, CITYSCAPES, "--format cityscapes")
        self.ids = PanopticFiles(folder, "cityscapes/panoptic", WITH_LABEL_IDS)
        self.categories = self.ids.categories

    def key(self, name: str) -> str:
        """Return the name without white space, which would end it in an instance file."""
        last = Path(name).name
        return re.sub(r"\s", "_", last.removesuffix(_IMAGE_ENDING) or last)

    def files(self, key: str) -> list[str]:
        return [self.ids.png(key), f"cityscapes/pixel/{key}.png", f"cityscapes/instance/{key}.txt"]

    def segment_folder(self, key: str) -> str:
        return f"cityscapes/instance/masks/{key}"

    def former_entries(self) -> dict[str, Entry] | None:
        return self.ids.former_entries()

    def render(self, name: str, result: Result) -> Rendered:
        key = self.key(name)
        panoptic = renamed(result.prediction, self.classes)
        ids, pixel, instance = self.files(key)
        png, entry = self.ids.render(key, result.file_name, panoptic)
        pixels = encode_image(self._label_ids(result.semantic))
        lines, masks = self._instances(key, panoptic)
        return Rendered({ids: png, pixel: pixels, instance: lines.encode()} | masks, entry)

    def _label_ids(self, labels: np.ndarray) -> np.ndarray:
        """Map class indices [H, W] to label ids, uint8, 0 (unlabeled) where void."""
        table = np.zeros(max(self.info.num_classes, self.info.ignore_index) + 1, np.uint8)
        table[: self.info.num_classes] = np.array(LABEL_IDS)[list(self.classes)]
        return table[labels]

    def _instances(self, key: str, panoptic: PanopticMap) -> tuple[str, dict[str, bytes]]:
        """Make the text that names all masks, and the masks by path."""
        lines, masks = "", {}
        for segment in panoptic.segments:
            if CITYSCAPES.categories[segment.category].is_thing:
                mask = (panoptic.ids == segment.id).view(np.uint8) * np.uint8(255)
                masks[f"{self.segment_folder(key)}/{segment.id}.png"] = encode_image(mask)
                score = _DEFAULT_SCORE if segment.score is None else segment.score
                label_id = LABEL_IDS[segment.category]
                lines += f"masks/{key}/{segment.id}.png {label_id} {float(score)!r}\n"
        return lines, masks

    def write_lists(self, records: Mapping[str, Record]) -> None:
        self.ids.write_list(records)

    def pack(self, records: Mapping[str, Record]) -> None:
        """Write the zips; of `cityscapes/` they have what lies below the task's folder."""
        files = [file for record in records.values() for file in record.files]
        zipped = {
            "panoptic": ("cityscapes", [self.lists[0]]),
            "pixel": ("cityscapes/pixel", []),
            "instance": ("cityscapes/instance", []),
        }
        for file in files:
            zipped[file.split("/")[1]][1].append(file)
        with progress_bar(title="zipping", total=len(files) + 1, unit="files") as bar:
            for task, (root, names) in zipped.items():
                _write_zip(self.folder, f"cityscapes/{task}.zip", root, names, bar.update)


def _write_zip(
    folder: Path, target: str, root: str, files: Iterable[str], after_each: Callable
) -> None:
    """Write files as one archive, named from `root`, uncompressed as PNGs are compressed already.

    All paths are relative to `folder`.
    """
    with (
        replacing(folder / target) as temporary,
        zipfile.ZipFile(temporary, "w", strict_timestamps=False) as archive,
    ):
        for file in files:
            archive.write(folder / file, file.removeprefix(f"{root}/"))
            after_each()
