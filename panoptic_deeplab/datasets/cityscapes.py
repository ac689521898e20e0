"""Cityscapes, and whatever lies in its layout."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from panoptic_deeplab.datasets.base import PanopticDataset, Record, Transform
from panoptic_deeplab.errors import DataError
from panoptic_deeplab.files import read_json
from panoptic_deeplab.formats.cityscapes import CITYSCAPES, LABEL_IDS
from panoptic_deeplab.formats.coco import Annotation, read_annotations
from panoptic_deeplab.formats.images import IMAGE_SUFFIXES
from panoptic_deeplab.registry import DATASETS
from panoptic_deeplab.structures import DatasetInfo

_PREPARE = "make it with: python tools/prepare_cityscapes.py --dataset_root {root}"


@DATASETS.add_component
class CityscapesPanoptic(PanopticDataset):
    """Cityscapes with the panoptic annotations of `csCreatePanopticImgs --use-train-id`.

        dataset_root/leftImg8bit/{mode}/**/{image_id}_leftImg8bit.png
        dataset_root/gtFine/cityscapes_panoptic_{mode}_trainId.json
        dataset_root/gtFine/cityscapes_panoptic_{mode}_trainId/*.png

    An annotation belongs to the picture whose name, without `_leftImg8bit` and suffix, is its
    `image_id`; folders below `leftImg8bit` do not matter, nor does the order in the JSON.

    Args:
        dataset_root: the folder that holds leftImg8bit and gtFine.
        mode: the split: train, val, test or any other that lies there. `test` needs no
            annotations; its samples then have no truth.
        transforms: applied in order to each sample.
        info: the classes, where they are not Cityscapes' own 19.

    Raises:
        DataError: a folder or file is missing, or picture and annotation cannot be paired.
    """

    def __init__(
        self,
        dataset_root: str,
        mode: str = "train",
        transforms: Sequence[Transform] = (),
        info: DatasetInfo = CITYSCAPES,
    ) -> None:
        root = Path(dataset_root)
        pictures = _find_pictures(root, mode)
        annotation_file = root / "gtFine" / f"cityscapes_panoptic_{mode}_trainId.json"
        if annotation_file.exists():
            records = _pair(_read_train_ids(annotation_file, info), pictures, annotation_file)
        elif mode == "test":
            records = [Record(image_id, path) for image_id, path in sorted(pictures.items())]
        else:
            raise DataError(f"{annotation_file}: no such file; {_PREPARE.format(root=root)}")
        super().__init__(records, info, transforms, name=f"{root} ({mode})")

    @classmethod
    def describe(cls, **arguments: object) -> DatasetInfo:
        """Cityscapes' 19 evaluated classes."""
        return CITYSCAPES


def _find_pictures(root: Path, mode: str) -> dict[str, Path]:
    """Image id -> picture, for all pictures of the split."""
    folder = root / "leftImg8bit"
    if not folder.is_dir():
        raise DataError(
            f"{folder}: no such folder; dataset_root must hold Cityscapes' leftImg8bit and gtFine "
            "(or make a stand-in: python tools/make_scenes.py --output data/scenes --train 400 "
            "--val 50)"
        )
    if (folder / mode).is_dir():
        folder = folder / mode
    pictures: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in IMAGE_SUFFIXES:
            image_id = path.stem.removesuffix("_leftImg8bit")
            if image_id in pictures:
                raise DataError(
                    f"{path} and {pictures[image_id]} have the same image id {image_id}"
                )
            pictures[image_id] = path
    return pictures


def _read_train_ids(path: Path, info: DatasetInfo) -> list[Annotation]:
    try:
        return read_annotations(path, info)
    except DataError as error:
        if info is CITYSCAPES and _uses_label_ids(path):
            raise DataError(
                f"{path}: holds Cityscapes label ids where train ids are wanted; make the file "
                "again with csCreatePanopticImgs --use-train-id (tools/prepare_cityscapes.py does)"
            ) from error
        raise


def _uses_label_ids(path: Path) -> bool:
    content = read_json(path)
    try:
        used = {
            segment["category_id"]
            for annotation in content["annotations"]
            for segment in annotation["segments_info"]
        }
        return used <= set(LABEL_IDS)
    except (KeyError, TypeError):
        return False


def _pair(
    annotations: Sequence[Annotation], pictures: dict[str, Path], source: Path
) -> list[Record]:
    labels = source.with_suffix("")
    records, seen = [], set()
    for annotation in annotations:
        if annotation.image_id in seen:
            raise DataError(f"{source}: image {annotation.image_id} is annotated twice")
        if annotation.image_id not in pictures:
            raise DataError(
                f"{source}: image {annotation.image_id} is annotated, but no picture "
                f"{annotation.image_id}_leftImg8bit.* lies below its data set's leftImg8bit"
            )
        seen.add(annotation.image_id)
        records.append(
            Record(
                annotation.image_id,
                pictures[annotation.image_id],
                labels / annotation.file_name,
                annotation.segments,
            )
        )
    return records
