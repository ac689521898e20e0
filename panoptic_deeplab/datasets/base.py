"""What all data sets share: a list of records, each read into a sample of one form."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from panoptic_deeplab.errors import DataError, collect, raise_or_collect
from panoptic_deeplab.file_names import composed, readable
from panoptic_deeplab.files import files_below
from panoptic_deeplab.formats.coco import read_panoptic_map
from panoptic_deeplab.formats.images import (
    IMAGE_SUFFIXES,
    TURNS,
    OrientedImage,
    read_oriented_image,
    turned_size,
)
from panoptic_deeplab.notices import warn_once
from panoptic_deeplab.structures import DatasetInfo, Frame, PanopticMap, Sample, Segment

_log = logging.getLogger(__name__)

Transform = Callable[[Sample, np.random.Generator], Sample]


@dataclass(frozen=True, slots=True)
class Record:
    """Where one image and its annotation lie; `sequence` is the video that it is a frame of."""

    image_id: str
    image_path: Path
    label_path: Path | None = None
    segments: tuple[Segment, ...] = ()
    sequence: str | None = None


class PanopticDataset:
    """A list of records that are read, checked and transformed on access.

    A constructor gives `errors.raise_or_collect` what is wrong with an entry that it cannot use,
    and `errors.collect` what it skips, and goes on with the others: so a check hears of all.

    Args:
        records: one an image.
        info: the classes.
        transforms: applied in order to each sample.
        name: of this data set, for errors.
    """

    def __init__(
        self,
        records: Sequence[Record],
        info: DatasetInfo,
        transforms: Sequence[Transform] = (),
        name: str = "data set",
    ) -> None:
        self.records = list(records)
        self.info = info
        self.transforms = list(transforms)
        self.name = name

    @classmethod
    def describe(cls, **arguments: Any) -> DatasetInfo:
        """The classes of a data set with these arguments, as cheaply as they can be known."""
        raise NotImplementedError

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> Sample:
        """Load and transform a sample, with the random draws of epoch 0 and seed 0."""
        return self.sample(index, np.random.default_rng((0, 0, index)))

    def sample(self, index: int, rng: np.random.Generator) -> Sample:
        """Load a sample and transform it; all random draws come from `rng`."""
        return self.transform(self.load(index), rng)

    def transform(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Apply the transforms to a loaded sample."""
        for transform in self.transforms:
            sample = transform(sample, rng)
        return sample

    def load(self, index: int) -> Sample:
        """Load a sample as it is on disk.

        Raises:
            DataError: a file is missing or broken, or image and annotation do not fit.
        """
        record = self.records[index]
        image, orientation = self.read_image(record)
        sample = {
            "image": image,
            "frame": Frame.whole(*image.shape[:2]),
            "image_id": record.image_id,
        }
        if record.label_path is not None:
            truth = self.truth(index)
            _check_fit(record, truth.ids.shape, image.shape[:2], orientation)
            sample |= {"panoptic": truth.ids, "segments": truth.segments}
        return sample

    def truth(self, index: int) -> PanopticMap:
        """Read the annotation at the size of the loaded sample.

        Raises:
            DataError: there is none, or it is broken.
        """
        record = self.records[index]
        if record.label_path is None:
            raise DataError(
                f"{record.image_path}: has no annotation; this split of {self.name} is for "
                "prediction only"
            )
        return replace(self.read_truth(record), sequence=record.sequence)

    def read_image(self, record: Record) -> OrientedImage:
        """Read the image; overridden where it is not used as it is."""
        return read_oriented_image(record.image_path)

    def read_truth(self, record: Record) -> PanopticMap:
        """Read the annotation of a record that has one, here in COCO panoptic format."""
        return read_panoptic_map(record.label_path, record.segments, self.info)

    def annotated_boxes(self) -> Mapping[str, np.ndarray]:
        """Image id -> [N, 5] (segment id, x, y, width, height) as annotated, which nothing here
        goes by; empty where the format has no boxes."""
        return {}


def find_images(folder: Path, suffix: str = "") -> dict[str, Path]:
    """Find all images below a folder: image id (accents composed) -> path, sorted by path.

    Args:
        folder: searched with all folders below it, links followed; a missing folder holds nothing.
        suffix: end of the name, before the dot, that is no part of the id.

    Raises:
        DataError: two images have the same id.
    """
    images: dict[str, Path] = {}
    for path in files_below(folder):
        if path.suffix.lower() not in IMAGE_SUFFIXES:
            continue
        image_id = readable(composed(path.stem.removesuffix(suffix)))
        if image_id in images:
            raise_or_collect(
                DataError(
                    f"{path} and {images[image_id]} have the same image id {image_id}",
                    kind="duplicate image",
                    file=path,
                    image_id=image_id,
                )
            )
            continue
        images[image_id] = path
    return images


def pair(images: Mapping[str, Path], labels: Mapping[str, Path], folder: Path) -> list[Record]:
    """Make a record of each annotation and the image with its id.

    Args:
        images: image id -> path; those without an annotation are skipped.
        labels: image id -> path of the annotation.
        folder: where the images were looked for.

    Raises:
        DataError: an annotation has no image.
    """
    collect_unlabeled(images, labels)
    records = []
    for image_id, label_path in labels.items():
        if image_id in images:
            records.append(Record(image_id, images[image_id], label_path))
            continue
        raise_or_collect(
            DataError(
                f"{label_path}: annotates an image {image_id}.* that does not lie below {folder}",
                kind="annotation without picture",
                file=label_path,
                image_id=image_id,
            )
        )
    return records


def collect_unlabeled(images: Mapping[str, Path], labeled: Mapping[str, Any]) -> None:
    """Collect a fault for each image that a training skips."""
    for image_id, path in images.items():
        if image_id not in labeled:
            collect(
                DataError(
                    f"{path}: has no annotation and is skipped",
                    kind="picture without annotation",
                    file=path,
                    image_id=image_id,
                )
            )


def unlabeled_records(images: Mapping[str, Path]) -> list[Record]:
    """Make the records of a split without annotations, which can be predicted."""
    return [Record(image_id, path) for image_id, path in images.items()]


def existing_folder(path: Path, hint: str) -> Path:
    """Return `path` if such a folder exists.

    Raises:
        DataError: there is none; the message ends with `hint`.
    """
    if not path.is_dir():
        raise DataError(f"{path}: no such folder; {hint}", kind="missing file", file=path)
    return path


def _check_fit(
    record: Record, annotated: tuple[int, int], shown: tuple[int, int], orientation: int
) -> None:
    """Refuse an annotation of another size than its upright image.

    An EXIF orientation by which the sizes do not tell whether the annotation was drawn on the
    stored or on the upright image is a warning: the two are of one size, as they are where an image
    is turned by 180 degrees.
    """
    turned = orientation != 1
    stored = turned_size(shown, orientation)
    tag = f"EXIF orientation {orientation} ({TURNS[orientation].name})"
    place = {"file": record.label_path, "image_id": record.image_id}
    if turned and annotated == stored != shown:
        problem = (
            f"{record.label_path}: the annotation is {_size(annotated)} pixels, as its image "
            f"{record.image_path} is stored, but by its {tag} the image is {_size(shown)}; if the "
            "annotation fits the stored pixels, remove the tag (exiftool -Orientation= FILE)"
        )
        raise_or_collect(DataError(problem, kind="annotated as stored", **place))
    elif annotated != shown:
        problem = (
            f"{record.label_path}: the annotation is {_size(annotated)} pixels, its image "
            f"{record.image_path} {_size(shown)}"
        )
        raise_or_collect(DataError(problem, kind="size mismatch"))
    elif turned and stored == shown:
        problem = (
            f"{record.image_path}: is turned by its {tag}, and the sizes do not tell whether "
            f"{record.label_path} was drawn on the upright image, as it must be"
        )
        if not collect(DataError(problem, kind="EXIF orientation", **place)):
            advice = "if it was not, remove the tag (exiftool -Orientation= FILE)"
            warn_once(_log, "EXIF orientation", "%s; %s; told once", problem, advice)


def _size(shape: tuple[int, int]) -> str:
    return f"{shape[1]} x {shape[0]}"
