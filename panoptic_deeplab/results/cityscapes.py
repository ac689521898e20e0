"""Results as the Cityscapes server takes them: panoptic, pixel-level and instance-level.

Following https://www.cityscapes-dataset.com/submit/ and the readers in cityscapesscripts.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np

from panoptic_deeplab.files import replacing, replacing_folder
from panoptic_deeplab.formats.cityscapes import CITYSCAPES, LABEL_IDS, WITH_LABEL_IDS
from panoptic_deeplab.formats.images import write_image
from panoptic_deeplab.progress import progress_bar
from panoptic_deeplab.result import Result
from panoptic_deeplab.results.base import (
    ResultFormat,
    matched_classes,
    renamed,
)
from panoptic_deeplab.results.panoptic_files import Entry, PanopticFiles
from panoptic_deeplab.structures import DatasetInfo, PanopticMap

_IMAGE_ENDING = "_leftImg8bit"
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

    def __init__(self, folder: Path, info: DatasetInfo) -> None:
        super().__init__(folder / "cityscapes", info)
        self.classes = matched_classes(info, CITYSCAPES, "--format cityscapes")
        self.files = PanopticFiles(self.folder / "panoptic.json", WITH_LABEL_IDS)

    def key(self, name: str) -> str:
        """Return the name without white space, which would end it in an instance file."""
        last = Path(name).name
        return re.sub(r"\s", "_", last.removesuffix(_IMAGE_ENDING) or last)

    def written(self) -> dict[str, Entry]:
        return {key: e for key, e in self.files.written().items() if self._is_complete(key)}

    def _is_complete(self, key: str) -> bool:
        wanted = (f"pixel/{key}.png", f"instance/{key}.txt", f"instance/masks/{key}")
        return all((self.folder / path).exists() for path in wanted)

    def write(self, name: str, result: Result) -> Entry:
        key = self.key(name)
        panoptic = renamed(result.prediction, self.classes)
        write_image(self.folder / "pixel" / f"{key}.png", self._label_ids(result.semantic))
        self._write_instances(key, panoptic)
        return self.files.write(key, result.file_name, panoptic)

    def _label_ids(self, labels: np.ndarray) -> np.ndarray:
        """Map class indices [H, W] to label ids, uint8, 0 (unlabeled) where void."""
        table = np.zeros(max(self.info.num_classes, self.info.ignore_index) + 1, np.uint8)
        table[: self.info.num_classes] = np.array(LABEL_IDS)[list(self.classes)]
        return table[labels]

    def _write_instances(self, key: str, panoptic: PanopticMap) -> None:
        lines = []
        with replacing_folder(self.folder / "instance" / "masks" / key) as masks:
            for segment in panoptic.segments:
                if CITYSCAPES.categories[segment.category].is_thing:
                    mask = (panoptic.ids == segment.id).view(np.uint8) * np.uint8(255)
                    write_image(masks / f"{segment.id}.png", mask)
                    score = _DEFAULT_SCORE if segment.score is None else segment.score
                    label_id = LABEL_IDS[segment.category]
                    lines.append(f"masks/{key}/{segment.id}.png {label_id} {float(score)!r}\n")
        with replacing(self.folder / "instance" / f"{key}.txt") as temporary:
            temporary.write_text("".join(lines), "utf-8")

    def finish(self, entries: Mapping[str, Entry]) -> None:
        self.files.finish(entries.values())
        instance = self.folder / "instance"
        masks = [path for key in entries for path in sorted((instance / "masks" / key).iterdir())]
        pngs = [f"{key}.png" for key in entries]
        zipped = {
            "panoptic": (self.folder, ["panoptic.json", *(f"panoptic/{png}" for png in pngs)]),
            "pixel": (self.folder / "pixel", pngs),
            "instance": (
                instance,
                [f"{key}.txt" for key in entries]
                + [path.relative_to(instance).as_posix() for path in masks],
            ),
        }
        total = sum(len(names) for _, names in zipped.values())
        with progress_bar(title="zipping", total=total, unit="files") as bar:
            for task, (root, names) in zipped.items():
                _write_zip(self.folder / f"{task}.zip", root, names, bar.update)


def _write_zip(path: Path, root: Path, names: Iterable[str], after_each: Callable) -> None:
    """Write the files below `root` as one archive, uncompressed as PNGs are compressed already."""
    with (
        replacing(path) as temporary,
        zipfile.ZipFile(temporary, "w", strict_timestamps=False) as archive,
    ):
        for name in names:
            archive.write(root / name, name)
            after_each()
