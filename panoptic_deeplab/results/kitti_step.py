"""KITTI-STEP and MOTChallenge-STEP results."""

from __future__ import annotations

from pathlib import Path

from panoptic_deeplab.formats.kitti_step import KITTI_STEP, MOTCHALLENGE_STEP, encode_step_map
from panoptic_deeplab.result import Result
from panoptic_deeplab.results.base import Rendered, ResultFormat, named_classes, renamed
from panoptic_deeplab.structures import DatasetInfo


class KittiStep(ResultFormat):
    """`kitti_step/SEQUENCE/FRAME.png`: RGB PNGs of class and id, as the annotations are.

    Things of classes that KITTI-STEP does not track have id 0, as stuff has.

    Raises:
        UsageError: the model has a class that the data set has not.
    """

    name = "kitti_step"
    official = KITTI_STEP

    def __init__(self, folder: Path, info: DatasetInfo) -> None:
        super().__init__(folder, info)
        self._classes = named_classes(info, self.official, f"--format {self.name}")

    def files(self, key: str) -> list[str]:
        return [f"{self.name}/{key}.png"]

    def render(self, name: str, result: Result) -> Rendered:
        (path,) = self.files(name)
        panoptic = renamed(result.prediction, self._classes)
        return Rendered({path: encode_step_map(panoptic, self.official)})


class MotChallengeStep(KittiStep):
    """`motchallenge_step/SEQUENCE/FRAME.png`, the same with MOTChallenge-STEP's classes."""

    name = "motchallenge_step"
    official = MOTCHALLENGE_STEP
