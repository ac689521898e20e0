"""Cityscapes and KITTI in the folders that OpenDR's `prepare_data` writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from panoptic_deeplab.datasets.base import (
    Record,
    Transform,
    existing_folder,
    find_images,
    pair,
)
from panoptic_deeplab.datasets.resized import ResizedPanopticDataset
from panoptic_deeplab.errors import DataError
from panoptic_deeplab.formats.annotations import measured
from panoptic_deeplab.formats.cityscapes import CITYSCAPES, panoptic_of_instance_ids
from panoptic_deeplab.formats.coco_instances import (
    InstancesImage,
    instance_mask,
    read_instances,
)
from panoptic_deeplab.formats.images import read_ids, read_label_map
from panoptic_deeplab.registry import DATASETS
from panoptic_deeplab.structures import DatasetInfo, PanopticMap, Segment


@DATASETS.add_component
class OpenDrPanoptic(ResizedPanopticDataset):
    """One split as OpenDR's `prepare_data` writes it, with Cityscapes' 19 classes.

        dataset_root/images/{image_id}.png
        dataset_root/panoptic_gt/{image_id}[_gtFine_panoptic].png  instance ids as RGB
        dataset_root/annotations.json                              COCO instances by train id
        dataset_root/stuffthingmaps/{image_id}.png                 train ids, 255 void

    The ground truth is `panoptic_gt` where that folder exists. Else it is put together: the
    instances of annotations.json, where stuffthingmaps agrees with their class, on its stuff.

    Args:
        dataset_root: the folder of the split.
        size: [width, height] that images are resized to, bilinearly, as KITTI's annotations
            need it; null for images as they are.
        transforms: applied in order to each sample.

    Raises:
        DataError: a folder or file is missing, or an annotation has no image.
    """

    def __init__(
        self,
        dataset_root: str,
        size: Sequence[int] | None = None,
        transforms: Sequence[Transform] = (),
    ) -> None:
        root = Path(dataset_root)
        folder = existing_folder(root / "images", "dataset_root must be a split that is prepared")
        maps, labels = root / "panoptic_gt", root / "stuffthingmaps"
        self._instances: Mapping[str, InstancesImage] | None = None
        if maps.is_dir():
            annotations = find_images(maps, "_gtFine_panoptic")
        else:
            hint = "expected it, with annotations.json, or a folder panoptic_gt"
            annotations = find_images(existing_folder(labels, hint))
            self._instances, self._categories = _read_instances(root / "annotations.json")
        records = pair(find_images(folder), annotations, folder)
        super().__init__(records, CITYSCAPES, transforms, f"{root}", size)

    @classmethod
    def describe(cls, **arguments: object) -> DatasetInfo:
        """Cityscapes' 19 evaluated classes."""
        return CITYSCAPES

    def read_truth(self, record: Record) -> PanopticMap:
        """Read the map of instance ids, or put it together from classes and instances."""
        if self._instances is None:
            return panoptic_of_instance_ids(read_ids(record.label_path), record.label_path)
        labels = read_label_map(record.label_path)
        if record.image_id not in self._instances:
            raise DataError(
                f"{record.label_path}: annotations.json beside its folder lists no such image"
            )
        return _put_together(labels, self._instances[record.image_id], self._categories)


def _read_instances(path: Path) -> tuple[dict[str, InstancesImage], list[int]]:
    """Return image id -> its instances, and the class index of each of their categories."""
    info, images = read_instances(path)
    unknown = [name for name in info.index_of_name if name not in CITYSCAPES.index_of_name]
    if unknown:
        raise DataError(f"{path}: category {unknown[0]!r} is no class of Cityscapes")
    categories = [CITYSCAPES.index_of_name[category.name] for category in info.categories]
    return {Path(image.file_name).stem: image for image in images}, categories


def _put_together(
    labels: np.ndarray, image: InstancesImage, categories: Sequence[int]
) -> PanopticMap:
    """Make the map of train ids [H, W] and of instances; of two on a pixel the first has it.

    The polygons of OpenDR's own files leave a fringe of pixels without an instance, which is void.
    """
    ids = np.where(np.isin(labels, CITYSCAPES.stuff_ids), labels.astype(np.int32) + 1, 0)
    segments = [Segment(index + 1, index) for index in CITYSCAPES.stuff_ids]
    for number, instance in enumerate(image.instances, CITYSCAPES.num_classes + 1):
        category = categories[instance.category]
        mask = instance_mask(instance, labels.shape) & (labels == category) & (ids == 0)
        ids[mask] = number
        segments.append(Segment(number, category, instance.iscrowd))
    return measured(ids, segments)
