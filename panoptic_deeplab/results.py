"""Predictions as files: pictures to look at, and ids in COCO panoptic form."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from panoptic_deeplab.formats.coco import segments_info, write_panoptic_json
from panoptic_deeplab.formats.images import write_ids, write_image
from panoptic_deeplab.structures import DatasetInfo, Prediction
from panoptic_deeplab.visualization import draw_instances, draw_panoptic, draw_semantic

Entry = dict[str, Any]


class ResultWriter:
    """Writes the results of each picture below one folder.

    - `panoptic/NAME.png`: ids as R + 256 G + 65536 B, described in `panoptic.json`;
    - `panoptic/NAME_overlay.png`: the picture with names, outlines and a legend;
    - `semantic/NAME.png`: class colours of the semantic branch (of the fused map without one);
    - `instance/NAME.png`: instance colours.

    Args:
        folder: where to.
        info: the classes.

    Attributes:
        seconds: time spent so far in `drawing` and in `writing`.
    """

    def __init__(self, folder: str | Path, info: DatasetInfo) -> None:
        self.folder = Path(folder)
        self.info = info
        self.seconds = {"drawing": 0.0, "writing": 0.0}

    def write(self, name: str, source: Path, image: np.ndarray, prediction: Prediction) -> Entry:
        """Writes one picture's files and returns its entries for `finish`."""
        start = time.perf_counter()
        labels = prediction.labels
        if labels is None:
            labels = prediction.semantic(self.info.ignore_index)
        pictures = {
            f"panoptic/{name}_overlay.png": draw_panoptic(image, prediction, self.info),
            f"semantic/{name}.png": draw_semantic(labels, self.info),
            f"instance/{name}.png": draw_instances(prediction, self.info),
        }
        writing = time.perf_counter()
        for path, picture in pictures.items():
            write_image(self.folder / path, picture)
        write_ids(self.folder / f"panoptic/{name}.png", prediction.ids)
        self.seconds["drawing"] += writing - start
        self.seconds["writing"] += time.perf_counter() - writing
        height, width = prediction.ids.shape
        return {
            "image": {
                "id": name,
                "file_name": (Path(name).parent / source.name).as_posix(),
                "height": height,
                "width": width,
            },
            "annotation": {
                "image_id": name,
                "file_name": f"{name}.png",
                "segments_info": segments_info(prediction.ids, prediction.segments, self.info),
            },
        }

    def finish(self, entries: list[Entry]) -> None:
        """Writes `panoptic.json` of all pictures."""
        write_panoptic_json(
            self.folder / "panoptic.json",
            [entry["image"] for entry in entries],
            [entry["annotation"] for entry in entries],
            self.info,
        )
