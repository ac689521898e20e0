"""KITTI with panoptic annotations."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2

from panoptic_deeplab.datasets.base import (
    Record,
    Transform,
    existing_folder,
    find_images,
    pair,
    unlabeled_records,
)
from panoptic_deeplab.datasets.resized import ResizedPanopticDataset
from panoptic_deeplab.formats.annotations import measured
from panoptic_deeplab.formats.kitti import IMAGE_SIZE, KITTI, read_annotation
from panoptic_deeplab.registry import DATASETS
from panoptic_deeplab.structures import DatasetInfo, PanopticMap


@DATASETS.add_component
class KittiPanoptic(ResizedPanopticDataset):
    """KITTI panoptic, images and annotations at one size.

        dataset_root/{mode}/images/*.png
        dataset_root/{mode}/annotations/*.png

    Images of KITTI differ in size by a few pixels, and the annotations are used at 1280 x 384:
    so both are resized to `size` before anything else, and scores are at that size. A split without
    the folder `annotations` is for prediction: its samples have no ground truth.

    Args:
        dataset_root: the folder that holds the splits.
        mode: the split: training, validation or any other folder.
        size: [width, height] that images and annotations are resized to; null keeps theirs.
        transforms: applied in order to each sample.

    Raises:
        DataError: a folder is missing, or an annotation has no image.
    """

    def __init__(
        self,
        dataset_root: str,
        mode: str = "training",
        size: Sequence[int] | None = IMAGE_SIZE[::-1],
        transforms: Sequence[Transform] = (),
    ) -> None:
        folder = existing_folder(
            Path(dataset_root) / mode / "images",
            "dataset_root must hold training/images, training/annotations, validation/images ...",
        )
        images = find_images(folder)
        annotations = folder.with_name("annotations")
        if annotations.is_dir():
            name = f"{dataset_root} ({mode})"
            records = pair(images, find_images(annotations), folder)
        else:
            name = f"{dataset_root} ({mode}), which has no folder annotations,"
            records = unlabeled_records(images)
        super().__init__(records, KITTI, transforms, name, size)

    @classmethod
    def describe(cls, **arguments: object) -> DatasetInfo:
        """Cityscapes' 19 evaluated classes."""
        return KITTI

    def read_truth(self, record: Record) -> PanopticMap:
        """Read the annotation, resized to `size` by nearest neighbor."""
        annotation = read_annotation(record.label_path)
        if self.size is None:
            return annotation
        ids = cv2.resize(annotation.ids, self.size, interpolation=cv2.INTER_NEAREST)
        return measured(ids, annotation.segments)
