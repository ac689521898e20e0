"""KITTI panoptic results."""

from __future__ import annotations

from pathlib import Path

from panoptic_deeplab.formats.cityscapes import instance_id_map
from panoptic_deeplab.formats.images import encode_ids
from panoptic_deeplab.formats.kitti import KITTI
from panoptic_deeplab.result import Result
from panoptic_deeplab.results.base import Rendered, ResultFormat, matched_classes
from panoptic_deeplab.structures import DatasetInfo


class Kitti(ResultFormat):
    """`kitti/NAME.png`: RGB ids, labelId * 1000 + k for things, else Cityscapes' labelId.

    They have the image's size; the data set's own annotations have 1280x384.

    Raises:
        UsageError: the model has a class that KITTI's annotations do not evaluate.
    """

    def __init__(self, folder: Path, info: DatasetInfo) -> None:
        super().__init__(folder, info)
        matched_classes(info, KITTI, "--format kitti")

    def files(self, key: str) -> list[str]:
        return [f"kitti/{key}.png"]

    def render(self, name: str, result: Result) -> Rendered:
        (path,) = self.files(name)
        return Rendered({path: encode_ids(instance_id_map(result.prediction, self.info))})
