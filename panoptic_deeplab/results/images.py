"""The default form: overlays to look at, and ids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from panoptic_deeplab.formats.images import encode_image
from panoptic_deeplab.result import OVERLAY_ENDING, Result
from panoptic_deeplab.results.base import Rendered, ResultFormat
from panoptic_deeplab.results.journal import Record
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
        self.ids = PanopticFiles(folder, "panoptic", info)
        self.lists, self.categories = self.ids.lists, self.ids.categories

    def files(self, key: str) -> list[str]:
        return [
            self.ids.png(key),
            f"panoptic/{key}{OVERLAY_ENDING}.png",
            f"semantic/{key}.png",
            f"instance/{key}.png",
        ]

    def needed_files(self, key: str, written: Sequence[str]) -> Sequence[str]:
        """Return the ids alone; the rest is to look at, and may be removed."""
        return [self.ids.png(key)]

    def former_entries(self) -> dict[str, Entry] | None:
        return self.ids.former_entries()

    def render(self, name: str, result: Result) -> Rendered:
        ids, *drawn = self.files(name)
        with self.stopwatch.timing("drawing"):
            images = [
                result.plot(),
                draw_semantic(result.semantic, self.info),
                draw_instances(result.prediction, self.info),
            ]
        files = {path: encode_image(image) for path, image in zip(drawn, images, strict=True)}
        png, entry = self.ids.render(name, listed_name(name, result), result.prediction)
        return Rendered({ids: png} | files, entry)

    def write_lists(self, records: Mapping[str, Record]) -> None:
        self.ids.write_list(records)
