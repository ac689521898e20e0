"""Each thing cut out of its image."""

from __future__ import annotations

import re

import numpy as np

from panoptic_deeplab.formats.images import encode_image
from panoptic_deeplab.result import Result
from panoptic_deeplab.results.base import Rendered, ResultFormat


class Crops(ResultFormat):
    """`crops/NAME/CLASS_ID.png`: the box of each thing, RGBA, transparent around the thing."""

    def files(self, key: str) -> list[str]:
        return []

    def segment_folder(self, key: str) -> str:
        return f"crops/{key}"

    def render(self, name: str, result: Result) -> Rendered:
        folder = self.segment_folder(name)
        things = [segment for segment in result if segment.is_thing]
        return Rendered(
            {
                f"{folder}/{_as_file_name(thing.label)}_{thing.id}.png": encode_image(
                    cut_out(result.image, result.ids, thing.id, thing.box)
                )
                for thing in things
            }
        )


def cut_out(
    image: np.ndarray, ids: np.ndarray, segment_id: int, box: tuple[int, int, int, int]
) -> np.ndarray:
    """Cut a box (x0, y0, x1, y1) out as [h, w, 4] uint8 RGBA, opaque where the segment is."""
    x0, y0, x1, y1 = box
    inside = (slice(y0, y1), slice(x0, x1))
    alpha = (ids[inside] == segment_id).view(np.uint8) * np.uint8(255)
    return np.dstack([image[inside], alpha])


def _as_file_name(text: str) -> str:
    return re.sub(r"[^\w.-]", "_", text).lstrip(".") or "_"
