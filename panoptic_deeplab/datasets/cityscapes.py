"""Cityscapes, and any data set in its layout."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from panoptic_deeplab.datasets.base import (
    PanopticDataset,
    Record,
    Transform,
    collect_unlabeled,
    existing_folder,
    find_images,
    unlabeled_records,
)
from panoptic_deeplab.errors import DataError, collecting_errors, raise_or_collect
from panoptic_deeplab.file_names import composed, frame_order, inside
from panoptic_deeplab.formats.cityscapes import CITYSCAPES, LABEL_IDS, WITH_LABEL_IDS
from panoptic_deeplab.formats.coco import Annotation, read_annotations, read_boxes
from panoptic_deeplab.formats.json_items import iterate_items
from panoptic_deeplab.formats.panoptic_json import whole_number
from panoptic_deeplab.registry import DATASETS
from panoptic_deeplab.structures import DatasetInfo


@DATASETS.add_component
class CityscapesPanoptic(PanopticDataset):
    """Cityscapes with the panoptic annotations of `csCreatePanopticImgs --use-train-id`.

        dataset_root/leftImg8bit/{mode}/**/{image_id}_leftImg8bit.png
        dataset_root/gtFine/cityscapes_panoptic_{mode}_trainId.json
        dataset_root/gtFine/cityscapes_panoptic_{mode}_trainId/*.png

    An annotation belongs to the image whose name, without `_leftImg8bit` and suffix, is its
    `image_id`; folders below `leftImg8bit` do not matter, nor does the order in the JSON.

    Args:
        dataset_root: the folder that holds leftImg8bit and gtFine.
        mode: the split: train, val, test or any other that exists. `test` needs no
            annotations; its samples then have no ground truth.
        transforms: applied in order to each sample.
        info: the classes, where they are not Cityscapes' own 19.

    Raises:
        DataError: a folder or file is missing, or image and annotation cannot be paired.
    """

    def __init__(
        self,
        dataset_root: str,
        mode: str = "train",
        transforms: Sequence[Transform] = (),
        info: DatasetInfo = CITYSCAPES,
    ) -> None:
        root = Path(dataset_root)
        images = _find_images(root, mode)
        annotation_file = root / "gtFine" / f"cityscapes_panoptic_{mode}_trainId.json"
        if annotation_file.exists():
            records = _pair(_read_train_ids(annotation_file, info), images, annotation_file)
        elif mode == "test":
            records = unlabeled_records(images)
        else:
            problem = f"{annotation_file}: no such file; {_preparation(root)}"
            raise DataError(problem, kind="unprepared", file=annotation_file)
        super().__init__(records, info, transforms, name=f"{root} ({mode})")
        self._annotation_file = annotation_file

    @classmethod
    def describe(cls, **arguments: object) -> DatasetInfo:
        """Cityscapes' 19 evaluated classes."""
        return CITYSCAPES

    def annotated_boxes(self) -> Mapping[str, np.ndarray]:
        return read_boxes(self._annotation_file) if self._annotation_file.exists() else {}


@DATASETS.add_component
class CityscapesSequences(CityscapesPanoptic):
    """Sequences in the layout of Cityscapes, whose instances keep their ids from frame to frame.

    Images are named TOWN_SEQUENCE_FRAME; they come in the order of these numbers. STQ and VPQ score
    such a data set, which `tools/make_scenes.py --sequences N` makes.

    Args:
        dataset_root, mode, transforms, info: as for `CityscapesPanoptic`.

    Raises:
        DataError: as for `CityscapesPanoptic`, or an image has another name.
    """

    def __init__(
        self,
        dataset_root: str,
        mode: str = "train",
        transforms: Sequence[Transform] = (),
        info: DatasetInfo = CITYSCAPES,
    ) -> None:
        super().__init__(dataset_root, mode, transforms, info)
        records = [replace(r, sequence=_sequence_of(r.image_id)) for r in self.records]
        self.records = sorted(records, key=lambda r: (r.sequence, frame_order(r.image_id)))


def _sequence_of(image_id: str) -> str:
    sequence, _, frame = image_id.rpartition("_")
    if not sequence or not frame.isdigit():
        raise DataError(
            f"image {image_id}: expected a frame of a sequence, TOWN_SEQUENCE_FRAME; take "
            "CityscapesPanoptic for single images",
            kind="malformed entry",
            image_id=image_id,
        )
    return sequence


def _preparation(root: Path) -> str:
    """How to make the annotations, where the data set can be written to and where it cannot."""
    command = f"panoptic-deeplab convert prepare-cityscapes --dataset_root {root}"
    if os.access(root / "gtFine", os.W_OK):
        return f"make it with: {command}"
    return (
        f"{root / 'gtFine'} cannot be written to: make it in another folder DIR with {command} "
        "--save_dir DIR, which is then the dataset_root"
    )


def _find_images(root: Path, mode: str) -> dict[str, Path]:
    """Image id -> path, for all images of the split."""
    folder = existing_folder(
        root / "leftImg8bit",
        "dataset_root must hold Cityscapes' leftImg8bit and gtFine (a clone can make "
        "a stand-in: python tools/make_scenes.py --output data/scenes --train 400 --val 50)",
    )
    split = folder / mode
    return find_images(split if split.is_dir() else folder, "_leftImg8bit")


def _read_train_ids(path: Path, info: DatasetInfo) -> list[Annotation]:
    with collecting_errors() as errors:
        annotations = read_annotations(path, info)
    if not errors:
        return annotations
    if info is CITYSCAPES and _uses_label_ids(path):
        raise_or_collect(
            DataError(
                f"{path}: holds Cityscapes label ids where train ids are wanted; make the file "
                "again with csCreatePanopticImgs --use-train-id "
                "(panoptic-deeplab convert prepare-cityscapes does)",
                kind="label ids",
                file=path,
            )
        )
        info = WITH_LABEL_IDS
    return read_annotations(path, info)  # once more, to raise what is wrong


def _uses_label_ids(path: Path) -> bool:
    try:
        used = {
            whole_number(segment, "category_id")
            for _, annotation in iterate_items(path, "annotations")
            for segment in annotation["segments_info"]
        }
        return used <= set(LABEL_IDS)
    except (DataError, KeyError, TypeError):
        return False


def _pair(
    annotations: Sequence[Annotation], images: Mapping[str, Path], source: Path
) -> list[Record]:
    labels = source.with_suffix("")
    records: dict[str, Record] = {}
    for annotation in annotations:
        image_id = composed(annotation.image_id)
        problem = _problem(image_id, records, images)
        if problem:
            kind, message = problem
            error = DataError(f"{source}: {message}", kind=kind, file=source, image_id=image_id)
            raise_or_collect(error)
            continue
        try:
            label_path = inside(labels, annotation.file_name, labels, source)
        except DataError as error:
            raise_or_collect(DataError(str(error), kind=error.kind, file=source, image_id=image_id))
            continue
        records[image_id] = Record(image_id, images[image_id], label_path, annotation.segments)
    collect_unlabeled(images, records)
    return list(records.values())


def _problem(
    image_id: str, records: Mapping[str, Record], images: Mapping[str, Path]
) -> tuple[str, str] | None:
    """Kind and message of why an annotation cannot be paired."""
    if image_id in records:
        return "duplicate image", f"image {image_id} is annotated twice"
    if image_id not in images:
        return "annotation without picture", (
            f"image {image_id} is annotated, but no image {image_id}_leftImg8bit.* lies below "
            "its data set's leftImg8bit"
        )
    return None
