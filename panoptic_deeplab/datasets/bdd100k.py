"""BDD100K's panoptic segmentation of 10,000 images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from panoptic_deeplab.datasets.base import (
    PanopticDataset,
    Record,
    Transform,
    existing_folder,
    find_images,
    pair,
    unlabeled_records,
)
from panoptic_deeplab.errors import DataError, raise_or_collect
from panoptic_deeplab.file_names import composed
from panoptic_deeplab.formats.bdd100k import BDD100K, painted_annotation, read_annotation
from panoptic_deeplab.formats.scalabel import Label, read_frames
from panoptic_deeplab.registry import DATASETS
from panoptic_deeplab.structures import DatasetInfo, PanopticMap


@DATASETS.add_component
class Bdd100kPanoptic(PanopticDataset):
    """BDD100K in its official layout, with bitmasks or with Scalabel JSON.

        dataset_root/images/10k/{mode}/*.jpg
        dataset_root/labels/pan_seg/bitmasks/{mode}/*.png
        dataset_root/labels/pan_seg/polygons/pan_seg_{mode}.json

    Bitmasks are taken where they exist, else the JSON (RLE or polygons); a named JSON always is. A
    split without either is for prediction: its samples have no ground truth.

    Args:
        dataset_root: the folder that holds images and labels.
        mode: the split: train, val or test.
        annotation_file: a Scalabel JSON below dataset_root, in place of the bitmasks.
        transforms: applied in order to each sample.

    Raises:
        DataError: a folder or file is missing, the JSON is of another form, or an annotation has no
            image.
    """

    def __init__(
        self,
        dataset_root: str,
        mode: str = "train",
        annotation_file: str | None = None,
        transforms: Sequence[Transform] = (),
    ) -> None:
        root = Path(dataset_root)
        folder = existing_folder(
            root / "images" / "10k" / mode, "dataset_root must hold BDD100K's images and labels"
        )
        images = find_images(folder)
        bitmasks = root / "labels" / "pan_seg" / "bitmasks" / mode
        polygons = root / "labels" / "pan_seg" / "polygons" / f"pan_seg_{mode}.json"
        self._labels: dict[str, tuple[Label, ...]] = {}
        name = f"{root} ({mode})"
        if annotation_file is None and bitmasks.is_dir():
            records = pair(images, find_images(bitmasks), folder)
        elif annotation_file is not None or polygons.exists():
            source = root / annotation_file if annotation_file else polygons
            self._labels = _read_labels(source)
            records = pair(images, dict.fromkeys(self._labels, source), folder)
        else:
            name += f", which has neither {bitmasks} nor {polygons},"
            records = unlabeled_records(images)
        super().__init__(records, BDD100K, transforms, name)

    @classmethod
    def describe(cls, **arguments: object) -> DatasetInfo:
        """BDD100K's 40 classes."""
        return BDD100K

    def read_truth(self, record: Record) -> PanopticMap:
        """Read the annotation from the bitmask, or paint it from the labels of the JSON."""
        if record.image_id not in self._labels:
            return read_annotation(record.label_path)
        size = self.read_image(record).pixels.shape[:2]
        try:
            return painted_annotation(self._labels[record.image_id], size)
        except DataError as error:
            place = {"file": record.label_path, "image_id": record.image_id} | error.where
            message = f"{record.label_path}: frame {record.image_id}: {error}"
            raise DataError(message, kind=error.kind, **place) from error


def _read_labels(source: Path) -> dict[str, tuple[Label, ...]]:
    """Image id -> the frame's labels."""
    labels: dict[str, tuple[Label, ...]] = {}
    for frame in read_frames(source):
        image_id = composed(Path(frame.name).stem)
        if image_id in labels:
            raise_or_collect(
                DataError(
                    f"{source}: frame {frame.name} is listed twice",
                    kind="duplicate image",
                    file=source,
                    image_id=image_id,
                )
            )
            continue
        labels[image_id] = frame.labels
    return labels
