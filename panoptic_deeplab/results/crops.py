"""Every thing by itself."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from panoptic_deeplab.formats.coco import bounding_boxes
from panoptic_deeplab.formats.images import write_image
from panoptic_deeplab.results.base import ResultFormat
from panoptic_deeplab.structures import Prediction


class Crops(ResultFormat):
    """`crops/NAME/CLASS_ID.png`: the box of each thing, RGBA, transparent where it is not."""

    def write(self, name: str, source: Path, image: np.ndarray, prediction: Prediction) -> None:
        boxes = bounding_boxes(prediction.ids)
        folder = self.folder / "crops" / name
        of_earlier_run = set(folder.glob("*.png"))
        for segment in prediction.segments:
            category = self.info.categories[segment.category]
            if category.is_thing:
                path = folder / f"{_as_file_name(category.name)}_{segment.id}.png"
                write_image(path, cut_out(image, prediction.ids, segment.id, boxes[segment.id]))
                of_earlier_run.discard(path)
        for path in of_earlier_run:
            path.unlink()


def cut_out(
    image: np.ndarray, ids: np.ndarray, segment_id: int, box: tuple[int, int, int, int]
) -> np.ndarray:
    """[h, w, 4] uint8 RGBA of a box (top, left, bottom, right), opaque where the segment is."""
    top, left, bottom, right = box
    inside = (slice(top, bottom), slice(left, right))
    alpha = (ids[inside] == segment_id).view(np.uint8) * np.uint8(255)
    return np.dstack([image[inside], alpha])


def _as_file_name(text: str) -> str:
    return re.sub(r"[^\w.-]", "_", text).lstrip(".") or "_"
