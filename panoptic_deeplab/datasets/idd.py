"""IDD, the India Driving Dataset, with the panoptic files of its own tools."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from panoptic_deeplab.datasets.base import (
    PanopticDataset,
    Record,
    Transform,
    collect_unlabeled,
    existing_folder,
)
from panoptic_deeplab.errors import DataError, skipping_faults
from panoptic_deeplab.file_names import composed, inside
from panoptic_deeplab.files import files_below
from panoptic_deeplab.formats.coco import Annotation, read_annotations, read_boxes, read_info
from panoptic_deeplab.formats.images import IMAGE_SUFFIXES, OrientedImage, read_size
from panoptic_deeplab.registry import DATASETS
from panoptic_deeplab.structures import DatasetInfo

_IMAGE, _LABEL = "_leftImg8bit", "_gtFine_panopticlevel3Ids.png"


@DATASETS.add_component
class IddPanoptic(PanopticDataset):
    """IDD as `preperation/createLabels.py --panoptic True` of AutoNUE's public-code prepares it.

        dataset_root/leftImg8bit/{mode}/{drive}/{frame}_leftImg8bit.png (or .jpg)
        dataset_root/gtFine/{mode}_panoptic.json
        dataset_root/gtFine/{mode}_panoptic/{drive}_{frame}_gtFine_panopticlevel3Ids.png

    The script makes annotations of 1280 x 720 pixels whatever the image's size, and IDD is scored
    so; an image is resized to the size of its annotation before anything else.

    Args:
        dataset_root: the folder that holds leftImg8bit and gtFine.
        mode: the split: train or val.
        transforms: applied in order to each sample.
        info: the classes of another split, which the JSON must agree with.

    Raises:
        DataError: a folder or file is missing, the JSON is of another form or has other classes, or
            an annotation has no image.
    """

    def __init__(
        self,
        dataset_root: str,
        mode: str = "train",
        transforms: Sequence[Transform] = (),
        info: DatasetInfo | None = None,
    ) -> None:
        folder = existing_folder(
            Path(dataset_root) / "leftImg8bit" / mode,
            "dataset_root must hold IDD's leftImg8bit and gtFine",
        )
        source = _annotation_file(dataset_root, mode)
        info = info or read_info(source)
        images = _find_images(folder)
        records: dict[str, Record] = {}
        for annotation in read_annotations(source, info):
            key = composed(annotation.file_name.removesuffix(_LABEL))
            with skipping_faults(source):
                if key in records:
                    raise _fault(annotation, source, "duplicate image", "is annotated twice")
                records[key] = _record(annotation, images.get(key), folder, source)
        collect_unlabeled(images, records)
        super().__init__(list(records.values()), info, transforms, f"{dataset_root} ({mode})")
        self._annotation_file = source

    @classmethod
    def describe(cls, dataset_root: str, mode: str = "train", **arguments: object) -> DatasetInfo:
        """The classes that the JSON lists."""
        return read_info(_annotation_file(dataset_root, mode))

    def read_image(self, record: Record) -> OrientedImage:
        """Read the image, resized bilinearly to the size of its annotation."""
        image = super().read_image(record)
        (height, width), _ = read_size(record.label_path)
        if image.pixels.shape[:2] == (height, width):
            return image
        return image._replace(pixels=cv2.resize(image.pixels, (width, height)))

    def annotated_boxes(self) -> Mapping[str, np.ndarray]:
        return read_boxes(self._annotation_file)


def _annotation_file(dataset_root: str, mode: str) -> Path:
    path = Path(dataset_root) / "gtFine" / f"{mode}_panoptic.json"
    if not path.exists():
        raise DataError(
            f"{path}: no such file; make it with AutoNUE's public-code: python preperation/"
            f"createLabels.py --datadir {dataset_root} --id-type level3Id --panoptic True",
            kind="missing file",
            file=path,
        )
    return path


def _find_images(folder: Path) -> dict[str, Path]:
    """{drive}_{frame}, as annotations are named, -> path."""
    return {
        composed(f"{path.parent.name}_{path.stem.removesuffix(_IMAGE)}"): path
        for path in files_below(folder)
        if path.suffix.lower() in IMAGE_SUFFIXES
    }


def _record(annotation: Annotation, image: Path | None, folder: Path, source: Path) -> Record:
    if image is None:
        name = annotation.file_name.removesuffix(_LABEL)
        problem = (
            f"is annotated, but no image {{drive}}/{{frame}}{_IMAGE}.* of {name} lies in {folder}"
        )
        raise _fault(annotation, source, "annotation without picture", problem)
    labels = source.with_suffix("")
    label = inside(labels, annotation.file_name, labels, f"image {annotation.image_id}")
    return Record(annotation.image_id, image, label, annotation.segments)


def _fault(annotation: Annotation, source: Path, kind: str, problem: str) -> DataError:
    image_id = annotation.image_id
    return DataError(f"image {image_id} {problem}", kind=kind, file=source, image_id=image_id)
