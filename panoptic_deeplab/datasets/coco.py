"""Any data set in COCO panoptic format: COCO itself, Mapillary Vistas, one's own."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from panoptic_deeplab.datasets.base import (
    PanopticDataset,
    Record,
    Transform,
    existing_folder,
)
from panoptic_deeplab.errors import DataError, collect, raise_or_collect
from panoptic_deeplab.file_names import inside
from panoptic_deeplab.files import why_missing
from panoptic_deeplab.formats.coco import (
    Annotation,
    PanopticFile,
    read_boxes,
    read_info,
    read_panoptic_file,
)
from panoptic_deeplab.formats.images import IMAGE_SUFFIXES
from panoptic_deeplab.progress import patient_bar
from panoptic_deeplab.registry import DATASETS
from panoptic_deeplab.structures import DatasetInfo


@DATASETS.add_component
class CocoPanoptic(PanopticDataset):
    """Images with a COCO panoptic JSON and a folder of PNGs; nothing else is needed.

        dataset_root/images/{mode}/*.jpg
        dataset_root/annotations/panoptic_{mode}.json
        dataset_root/annotations/panoptic_{mode}/*.png

    The classes, their names, colors and which of them are things are the JSON's `categories`. The
    image of an annotation is the one that `images` names for its `image_id`; where there is none,
    the one named like the annotation's PNG. A JSON without annotations is for prediction: its
    samples have no ground truth. Names in the JSON that lead out of their folder are refused;
    links are followed.

    Args:
        dataset_root: what the other paths lie below, unless they are absolute.
        mode: the split, where a path is not given.
        image_root: the folder of the images.
        annotation_file: the JSON.
        annotation_root: the folder of the PNGs; else the JSON's path without `.json`.
        transforms: applied in order to each sample.
        info: the classes of another split, which the JSON must agree with.

    Raises:
        DataError: a folder or file is missing, the JSON is of another form or has other classes, or
            image and annotation cannot be paired.
    """

    def __init__(
        self,
        dataset_root: str,
        mode: str = "train",
        image_root: str | None = None,
        annotation_file: str | None = None,
        annotation_root: str | None = None,
        transforms: Sequence[Transform] = (),
        info: DatasetInfo | None = None,
    ) -> None:
        source = _annotation_file(dataset_root, mode, annotation_file)
        image_folder = existing_folder(
            Path(dataset_root) / (image_root or f"images/{mode}"),
            "it must hold the images; set dataset_root or image_root",
        )
        label_folder = (
            Path(dataset_root) / annotation_root if annotation_root else source.with_suffix("")
        )
        info = info or read_info(source)
        content = read_panoptic_file(source, info)
        name = f"{source}"
        if content.annotations:
            existing_folder(label_folder, "it must hold the PNGs of ids; set annotation_root")
            records = _labeled(content, image_folder, label_folder, source)
        else:
            name += ", which holds no annotations"
            records = _unlabeled(content, image_folder, source)
        super().__init__(records, info, transforms, name)
        self._annotation_file = source

    @classmethod
    def describe(
        cls,
        dataset_root: str,
        mode: str = "train",
        annotation_file: str | None = None,
        **arguments: object,
    ) -> DatasetInfo:
        """The classes that the JSON lists."""
        return read_info(_annotation_file(dataset_root, mode, annotation_file))

    def annotated_boxes(self) -> Mapping[str, np.ndarray]:
        return read_boxes(self._annotation_file)


def _annotation_file(dataset_root: str, mode: str, given: str | None) -> Path:
    return Path(dataset_root) / (given or f"annotations/panoptic_{mode}.json")


def _labeled(
    content: PanopticFile, image_folder: Path, label_folder: Path, source: Path
) -> list[Record]:
    records: dict[str, Record] = {}
    bar = patient_bar(title=f"images of {source.name}", unit="images")
    for annotation in content.annotations:
        bar.update()
        image_id = annotation.image_id
        try:
            if image_id in records:
                raise DataError(f"{source}: image {image_id} is annotated twice", kind=_TWICE)
            records[image_id] = _record(annotation, content, image_folder, label_folder, source)
        except DataError as error:
            raise_or_collect(DataError(str(error), kind=error.kind, file=source, image_id=image_id))
    bar.close()
    for image_id, file_name in content.images.items():
        if image_id not in records:
            problem = f"{source}: image {image_id} ({file_name}) has no annotation"
            collect(DataError(problem, kind=_UNLABELED, file=source, image_id=image_id))
    return list(records.values())


_TWICE = "duplicate image"
_UNLABELED = "picture without annotation"


def _record(
    annotation: Annotation,
    content: PanopticFile,
    image_folder: Path,
    label_folder: Path,
    source: Path,
) -> Record:
    stem = os.path.splitext(annotation.file_name)[0]
    named = content.images.get(annotation.image_id)
    names = [named] if named is not None else []
    names += [stem + suffix for suffix in sorted(IMAGE_SUFFIXES)]
    paths = (inside(image_folder, name, image_folder, source) for name in names)
    image_path = next((path for path in paths if os.path.isfile(path)), None)
    if image_path is None:
        first = inside(image_folder, names[0], image_folder, source)
        if os.path.islink(first):
            problem = f"{source}: image {annotation.image_id}: {first}: {why_missing(first)}"
            raise DataError(problem, kind="missing file")
        wanted = " or ".join(filter(None, (named, f"{stem}.*")))
        raise DataError(
            f"{source}: image {annotation.image_id} is annotated, but no image {wanted} lies "
            f"in {image_folder}",
            kind="annotation without picture",
        )
    label = inside(label_folder, annotation.file_name, label_folder, source)
    return Record(annotation.image_id, image_path, label, annotation.segments)


def _unlabeled(content: PanopticFile, image_folder: Path, source: Path) -> list[Record]:
    records = []
    for image_id, file_name in content.images.items():
        try:
            records.append(Record(image_id, inside(image_folder, file_name, image_folder, source)))
        except DataError as error:
            raise_or_collect(DataError(str(error), kind=error.kind, file=source, image_id=image_id))
    return records
