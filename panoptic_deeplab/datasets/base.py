"""What all data sets share: a list of records, each read into the same sample."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from panoptic_deeplab.errors import DataError
from panoptic_deeplab.formats.coco import read_panoptic_map
from panoptic_deeplab.formats.images import read_image
from panoptic_deeplab.structures import DatasetInfo, Frame, PanopticMap, Segment

Sample = dict[str, Any]
"""`image` [H, W, 3] uint8 RGB; `frame` Frame; `image_id` str; where there is truth `panoptic`
[H, W] int32 ids (0 void) and `segments`; later also what the targets add."""

Transform = Callable[[Sample, np.random.Generator], Sample]


@dataclass(frozen=True)
class Record:
    """Where one image and its annotation lie."""

    image_id: str
    image_path: Path
    label_path: Path | None = None
    segments: tuple[Segment, ...] = ()


class PanopticDataset:
    """A list of records that are read, checked and transformed on access.

    Args:
        records: one an image.
        info: the classes.
        transforms: applied in order to each sample.
        name: how errors call this data set.
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
        """The transformed sample with the chances of epoch 0 and seed 0."""
        return self.sample(index, np.random.default_rng((0, 0, index)))

    def sample(self, index: int, rng: np.random.Generator) -> Sample:
        """The sample after the transforms, all of whose draws come from `rng`."""
        return self.transform(self.load(index), rng)

    def transform(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """A loaded sample after the transforms."""
        for transform in self.transforms:
            sample = transform(sample, rng)
        return sample

    def load(self, index: int) -> Sample:
        """The sample as it is on disk.

        Raises:
            DataError: a file is missing or broken, or picture and annotation do not fit.
        """
        record = self.records[index]
        image = read_image(record.image_path)
        sample = {
            "image": image,
            "frame": Frame.whole(*image.shape[:2]),
            "image_id": record.image_id,
        }
        if record.label_path is not None:
            truth = self.truth(index)
            if truth.ids.shape != image.shape[:2]:
                raise DataError(
                    f"{record.label_path}: the annotation is {_size(truth.ids)} pixels, its "
                    f"picture {record.image_path} {_size(image)}"
                )
            sample |= {"panoptic": truth.ids, "segments": truth.segments}
        return sample

    def truth(self, index: int) -> PanopticMap:
        """The annotation in original pixels.

        Raises:
            DataError: there is none, or it is broken.
        """
        record = self.records[index]
        if record.label_path is None:
            raise DataError(
                f"{record.image_path}: has no annotation; this split of {self.name} is for "
                "prediction only"
            )
        return read_panoptic_map(record.label_path, record.segments)


def _size(array: np.ndarray) -> str:
    return f"{array.shape[1]} x {array.shape[0]}"
