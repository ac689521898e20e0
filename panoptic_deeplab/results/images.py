"""The default form: overlays to look at, and ids."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from panoptic_deeplab.formats.images import write_image
from panoptic_deeplab.result import OVERLAY_ENDING, Result
from panoptic_deeplab.results.base import ResultFormat
from panoptic_deeplab.results.panoptic_files import Entry, PanopticFiles, listed_name
from panoptic_deeplab.structures import DatasetInfo
from panoptic_deeplab.visualization import draw_instances, draw_semantic


class Images(ResultFormat):
    """Four files of each image.

    - `panoptic/NAME.png`: ids as R + 256 G + 65536 B, described in `panoptic.json`;
    - `panoptic/NAME_overlay.png`: the image with names, outlines and a legend;
    - `semantic/NAME.png`: class colors of the semantic branch (of the fused map without one);
    - `instance/NAME.png`: instance colors.
    """

    def __init__(self, folder: Path, info: DatasetInfo) -> None:
        super().__init__(folder, info)
        self.files = PanopticFiles(folder / "panoptic.json", info)

    def written(self) -> dict[str, Entry]:
        return self.files.written()

    def write(self, name: str, result: Result) -> Entry:
        with self.stopwatch.timing("drawing"):
            drawn = {
                f"panoptic/{name}{OVERLAY_ENDING}.png": result.plot(),
                f"semantic/{name}.png": draw_semantic(result.semantic, self.info),
                f"instance/{name}.png": draw_instances(result.prediction, self.info),
            }
        for path, image in drawn.items():
            write_image(self.folder / path, image)
        return self.files.write(name, listed_name(name, result), result.prediction)

    def finish(self, entries: Mapping[str, Entry]) -> None:
        self.files.finish(entries.values())
