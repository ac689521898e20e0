"""Check one image and its annotation: readable, consistent, and what they contain."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from panoptic_deeplab.check.findings import Finding
from panoptic_deeplab.datasets import PanopticDataset, Record
from panoptic_deeplab.errors import DataError, collecting_errors, raise_or_collect
from panoptic_deeplab.files import open_file
from panoptic_deeplab.id_maps import IdMeasures, measure_ids
from panoptic_deeplab.structures import VOID_ID, DatasetInfo, Segment


@dataclass(frozen=True)
class ImageReport:
    """The outcome of checking one image.

    Attributes:
        image_id: as in the data set.
        findings: what is wrong with it.
        digest: of the image file's bytes, None where it cannot be read.
        size: (height, width) of the image, None where it cannot be read.
        segments: (segment, pixels counted) of each segment that has pixels.
        pixels: of the annotation, 0 without one.
    """

    image_id: str
    findings: Sequence[Finding]
    digest: bytes | None = None
    size: tuple[int, int] | None = None
    segments: Sequence[tuple[Segment, int]] = field(default=())
    pixels: int = 0


def check_image(
    dataset: PanopticDataset, index: int, split: str, boxes: np.ndarray | None = None
) -> ImageReport:
    """Read an image as a training would, and check all that is read.

    Args:
        dataset: its transforms are not applied.
        index: of the image.
        split: train or val, for the findings.
        boxes: [N, 5] (segment id, x, y, width, height) as annotated, where the format has them.
    """
    record = dataset.records[index]
    with collecting_errors() as errors:
        sample = _read(dataset, index)
    place = {"split": split, "image_id": record.image_id}
    findings = [
        Finding.of(error, _message(error, record), file=_file_of(error, record), **place)
        for error in {str(error): error for error in errors}.values()
    ]
    size = sample["image"].shape[:2] if "image" in sample else None
    digest = _digest(record.image_path)
    if "panoptic" not in sample:
        return ImageReport(record.image_id, findings, digest, size)
    measures = measure_ids(sample["panoptic"])
    annotated = {} if boxes is None else {int(row[0]): row[1:].tolist() for row in boxes}
    check = _AnnotationCheck(record, sample["segments"], measures, annotated, dataset.info)
    findings += [
        Finding(kind, cause=f"{check.source}: {cause}", file=check.source, **place, **where)
        for kind, cause, where in check.faults()
    ]
    return ImageReport(
        record.image_id, findings, digest, size, check.present(), sample["panoptic"].size
    )


def _read(dataset: PanopticDataset, index: int) -> dict[str, Any]:
    """Read as much of a sample as possible: a broken image does not hide its annotation."""
    try:
        return dataset.load(index)
    except DataError as error:
        raise_or_collect(error)
    if dataset.records[index].label_path is None:
        return {}
    try:
        truth = dataset.truth(index)
    except DataError as error:
        raise_or_collect(error)
        return {}
    return {"panoptic": truth.ids, "segments": truth.segments}


def _message(error: DataError, record: Record) -> str:
    """The text of an error, preceded by the file if the error does not name it."""
    file = _file_of(error, record)
    return str(error) if file in str(error) else f"{file}: image {record.image_id}: {error}"


def _file_of(error: DataError, record: Record) -> str:
    """The file that an error names: the image, else the annotation."""
    paths = [record.image_path, record.label_path or record.image_path]
    return str(next((path for path in paths if str(error).startswith(f"{path}:")), paths[-1]))


def _digest(path: Path) -> bytes | None:
    try:
        with open_file(path) as file:
            return hashlib.blake2b(file.read(), digest_size=16).digest()
    except (DataError, OSError):
        return None


@dataclass(frozen=True)
class _AnnotationCheck:
    """Compares the listed segments with the pixels of the map."""

    record: Record
    segments: Sequence[Segment]
    measures: IdMeasures
    boxes: Mapping[int, Sequence[float]]
    info: DatasetInfo

    @property
    def source(self) -> str:
        return str(self.record.label_path or self.record.image_path)

    def present(self) -> list[tuple[Segment, int]]:
        """The segments that have pixels, with their pixel counts."""
        areas = dict(zip(self.measures.ids.tolist(), self.measures.areas.tolist(), strict=True))
        return [(segment, areas[segment.id]) for segment in self.segments if segment.id in areas]

    def faults(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """Kind, cause and place of each fault."""
        places = {i: place for place, i in enumerate(self.measures.ids.tolist())}
        for segment in self.segments:
            if segment.iscrowd and not self.info.categories[segment.category].is_thing:
                cause = f"{self._name(segment)} is stuff and marked as crowd"
                yield "crowd of stuff", cause, {"segment_id": segment.id}
            if segment.id in places:
                yield from self._wrong_measures(segment, places[segment.id])
            else:
                cause = f"{self._name(segment)} is listed, but no pixel has its id"
                yield "segment without pixels", cause, {"segment_id": segment.id}
        if not (self.measures.ids != VOID_ID).any():
            yield "nothing annotated", "every pixel is void", {}

    def _wrong_measures(
        self, segment: Segment, place: int
    ) -> Iterator[tuple[str, str, dict[str, Any]]]:
        where = {
            "segment_id": segment.id,
            "pixel": tuple(self.measures.first[place].tolist()),
        }
        area = int(self.measures.areas[place])
        if segment.area is not None and abs(segment.area - area) >= 1:  # less is rounding
            cause = f"{self._name(segment)} has area {segment.area} in the JSON, {area} in the map"
            yield "wrong area", cause, where
        top, left, bottom, right = self.measures.boxes[place].tolist()
        counted = [left, top, right - left, bottom - top]
        annotated = self.boxes.get(segment.id)
        if annotated is not None and annotated != counted:
            boxes = f"box {_box_text(annotated)}, the map {_box_text(counted)}"
            cause = f"{self._name(segment)} has {boxes}"
            yield "wrong box", cause, where

    def _name(self, segment: Segment) -> str:
        return f"segment {segment.id} ({self.info.categories[segment.category].name})"


def _box_text(box: Sequence[float]) -> str:
    return "[" + ", ".join(f"{value:g}" for value in box) + "]"
