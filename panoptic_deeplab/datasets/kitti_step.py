"""KITTI-STEP and MOTChallenge-STEP: sequences with ids that last."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from panoptic_deeplab.datasets.base import (
    PanopticDataset,
    Record,
    Transform,
    existing_folder,
    pair,
    unlabeled_records,
)
from panoptic_deeplab.file_names import composed, frame_order, readable
from panoptic_deeplab.files import files_below
from panoptic_deeplab.formats.images import IMAGE_SUFFIXES
from panoptic_deeplab.formats.kitti_step import KITTI_STEP, MOTCHALLENGE_STEP, read_step_map
from panoptic_deeplab.registry import DATASETS
from panoptic_deeplab.structures import DatasetInfo, PanopticMap


@DATASETS.add_component
class KittiStep(PanopticDataset):
    """KITTI-STEP: frames in the order of their sequences, and of their numbers within these.

        dataset_root/images/{mode}/SEQUENCE/FRAME.png
        dataset_root/panoptic_maps/{mode}/SEQUENCE/FRAME.png

    The id of an image is SEQUENCE/FRAME. A split without a folder of panoptic maps is for
    prediction: its samples have no ground truth.

    Args:
        dataset_root: the folder that holds both.
        mode: the split: train, val or any other folder.
        transforms: applied in order to each sample.

    Raises:
        DataError: a folder is missing, or an annotation has no image.
    """

    classes = KITTI_STEP

    def __init__(
        self, dataset_root: str, mode: str = "train", transforms: Sequence[Transform] = ()
    ) -> None:
        root = Path(dataset_root)
        folder = existing_folder(
            root / "images" / mode,
            "dataset_root must hold images/train, panoptic_maps/train, images/val ...",
        )
        images, maps = _find_frames(folder), root / "panoptic_maps" / mode
        name = f"{dataset_root} ({mode})"
        if maps.is_dir():
            records = pair(images, _find_frames(maps), folder)
        else:
            name += f", which has no folder panoptic_maps/{mode},"
            records = unlabeled_records(images)
        records = [replace(r, sequence=r.image_id.rpartition("/")[0]) for r in records]
        records.sort(key=lambda r: (r.sequence, frame_order(r.image_id)))
        super().__init__(records, self.classes, transforms, name)

    @classmethod
    def describe(cls, **arguments: object) -> DatasetInfo:
        """The classes, which are always the same."""
        return cls.classes

    def read_truth(self, record: Record) -> PanopticMap:
        """Read the panoptic map; things have a `track_id`."""
        return read_step_map(record.label_path, self.info)


@DATASETS.add_component
class MotChallengeStep(KittiStep):
    """MOTChallenge-STEP, in the layout of KITTI-STEP; images are PNG or JPEG."""

    classes = MOTCHALLENGE_STEP


def _find_frames(folder: Path) -> dict[str, Path]:
    """Image id SEQUENCE/FRAME -> path, of all images in the folders below."""
    return {
        readable(composed(path.relative_to(folder).with_suffix("").as_posix())): path
        for path in files_below(folder)
        if path.suffix.lower() in IMAGE_SUFFIXES and path.parent != folder
    }
