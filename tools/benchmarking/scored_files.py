"""Scenes and synthetic predictions of them, in every form that is scored."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from panoptic_deeplab.files import read_json, write_json
from panoptic_deeplab.formats.cityscapes import CITYSCAPES, LABEL_IDS
from panoptic_deeplab.formats.coco import (
    Annotation,
    read_annotations,
    read_panoptic_map,
    write_panoptic_json,
)
from panoptic_deeplab.formats.images import write_ids, write_image
from panoptic_deeplab.structures import PanopticMap, Prediction, Segment

SHIFT = (4, 6)
"""Pixels (y, x) by which a prediction is off."""
WRONG = 9
"""Every ninth segment has a wrong class."""


@dataclass(frozen=True)
class Files:
    """Where annotations and predictions lie.

    Attributes:
        root: a folder to work in.
        labels: Cityscapes' gtFine.
        truth_json, truth_pngs: COCO panoptic form of its `val`.
        predicted_json, predicted_pngs: the same of the predictions.
        predicted_labels: predicted label ids, one PNG per image.
        masks: predicted instances, as in a submission to Cityscapes.
    """

    root: Path
    labels: Path
    truth_json: Path
    truth_pngs: Path
    predicted_json: Path
    predicted_pngs: Path
    predicted_labels: Path
    masks: Path

    @classmethod
    def below(cls, root: Path) -> Files:
        """The names of all, below one folder."""
        labels = root / "gtFine"
        truth = labels / "cityscapes_panoptic_val_trainId.json"
        predicted = root / "predicted" / "panoptic.json"
        return cls(
            root,
            labels,
            truth,
            truth.with_suffix(""),
            predicted,
            predicted.with_suffix(""),
            root / "predicted" / "labels",
            root / "predicted" / "masks",
        )

    def read_maps(self) -> Iterator[tuple[Prediction, PanopticMap]]:
        """Predictions and annotations, one image at a time."""
        for annotation in read_annotations(self.truth_json, CITYSCAPES):
            truth = read_panoptic_map(self.truth_pngs / annotation.file_name, annotation.segments)
            yield Prediction(*with_errors(truth)), truth

    def maps(self) -> list[tuple[Prediction, PanopticMap]]:
        """The same, all at once."""
        return list(self.read_maps())


def write_files(root: Path, size: tuple[int, int], count: int, workers: int) -> Files:
    """Make scenes, and predictions of them with errors."""
    from make_scenes import make_scenes

    make_scenes(root, {"val": count}, size, seed=0, workers=workers)
    files = Files.below(root)
    annotations = read_annotations(files.truth_json, CITYSCAPES)
    entries = [_write_prediction(files, annotation) for annotation in annotations]
    write_panoptic_json(files.predicted_json, _images(entries), entries, CITYSCAPES)
    return files


def _write_prediction(files: Files, annotation: Annotation) -> dict[str, Any]:
    """Write one image's predictions and return its entry of the JSON."""
    truth = read_panoptic_map(files.truth_pngs / annotation.file_name, annotation.segments)
    ids, segments = with_errors(truth)
    write_ids(files.predicted_pngs / annotation.file_name, ids)
    labels = _table(segments, [LABEL_IDS[segment.category] for segment in segments])[ids]
    write_image(files.predicted_labels / f"{annotation.image_id}.png", labels.astype(np.uint8))
    _write_masks(files.masks, annotation.image_id, ids, segments)
    return {
        "image_id": annotation.image_id,
        "file_name": annotation.file_name,
        "segments_info": [
            {"id": s.id, "category_id": CITYSCAPES.categories[s.category].official_id}
            for s in segments
        ],
    }


def with_errors(truth: PanopticMap) -> tuple[np.ndarray, list[Segment]]:
    """The truth moved by some pixels, some segments taken for the next thing or stuff class."""
    ids = np.roll(truth.ids, SHIFT, (0, 1))
    segments = []
    for number, segment in enumerate(truth.segments):
        kin = CITYSCAPES.thing_ids if segment.is_thing else CITYSCAPES.stuff_ids
        step = int(number % WRONG == WRONG - 1)
        category = kin[(kin.index(segment.category) + step) % len(kin)]
        score = round(0.5 + 0.4 * np.sin(number), 4)
        segments.append(replace(segment, category=category, iscrowd=False, score=score))
    return ids, segments


def _write_masks(folder: Path, image_id: str, ids: np.ndarray, segments: Sequence[Segment]) -> None:
    lines = []
    for segment in segments:
        if segment.is_thing:
            name = f"{image_id}_{segment.id}_mask.png"
            write_image(folder / name, (ids == segment.id).astype(np.uint8) * 255)
            lines.append(f"{name} {LABEL_IDS[segment.category]} {segment.score}\n")
    (folder / f"{image_id}.txt").write_text("".join(lines), "utf-8")


def _images(entries: Sequence[dict[str, Any]]) -> list[dict[str, str]]:
    return [{"id": entry["image_id"], "file_name": entry["file_name"]} for entry in entries]


def _table(segments: Sequence[Segment], values: Sequence[int]) -> np.ndarray:
    """Segment id -> value, 0 for others."""
    table = np.zeros(max((segment.id for segment in segments), default=0) + 1, np.int64)
    table[[segment.id for segment in segments]] = values
    return table


def link_many(files: Files, root: Path, count: int) -> Files:
    """COCO panoptic files of `count` images: the same PNGs again and again, by hard links."""
    linked = Files.below(root)
    for json, pngs, source_json, source_pngs in (
        (linked.truth_json, linked.truth_pngs, files.truth_json, files.truth_pngs),
        (linked.predicted_json, linked.predicted_pngs, files.predicted_json, files.predicted_pngs),
    ):
        pngs.mkdir(parents=True)
        content = read_json(source_json)
        sources = content["annotations"]
        entries = []
        for number in range(count):
            source = sources[number % len(sources)]
            name = f"{number:06}.png"
            os.link(source_pngs / source["file_name"], pngs / name)
            entries.append(source | {"image_id": f"{number:06}", "file_name": name})
        write_json(json, content | {"images": _images(entries), "annotations": entries})
    return linked
