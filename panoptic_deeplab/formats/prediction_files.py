"""Predictions in the files of another program, read one image at a time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from panoptic_deeplab.errors import DataError, UsageError, error_context, nearest
from panoptic_deeplab.file_names import inside
from panoptic_deeplab.files import files_below
from panoptic_deeplab.formats.bdd100k import BDD100K, read_bitmask
from panoptic_deeplab.formats.cityscapes import label_named
from panoptic_deeplab.formats.images import read_ids
from panoptic_deeplab.formats.json_items import iterate_items
from panoptic_deeplab.formats.kitti_step import read_step_map
from panoptic_deeplab.formats.panoptic_json import PanopticEntry, flag, number, whole_number
from panoptic_deeplab.structures import VOID_ID, DatasetInfo, PanopticMap, Prediction, Segment


class ListedSegment(NamedTuple):
    """What a JSON says of one segment; the score is None where it has none."""

    id: int
    category_id: int
    score: float | None
    iscrowd: bool


@dataclass(frozen=True, slots=True)
class _Entry:
    """What the JSON says of one image."""

    image_id: str
    file_name: str
    segments: tuple[ListedSegment, ...]


class CocoPredictions:
    """A JSON in COCO panoptic format and the PNGs it describes.

    The JSON's `categories`, where it has them, tell the classes by their names; else the category
    ids are the data set's own. An image is found by its id, with or without the folders before it,
    or by the name of its PNG. Segments may have a `score`.

    Args:
        path: the JSON, whose PNGs lie in the folder of the same name or else beside it; or a folder
            with `panoptic.json` or a single JSON.
        info: the classes of the data set.

    Raises:
        DataError: there is no such JSON, or it has another form or an unknown class.
    """

    def __init__(self, path: str | Path, info: DatasetInfo) -> None:
        self.json_path = _find_json(Path(path))
        folder = self.json_path.with_suffix("")
        self.folder = folder if folder.is_dir() else self.json_path.parent
        self.info = info
        self._index(*_read(self.json_path))

    def _index(self, entries: Sequence[_Entry], categories: Sequence[Mapping[str, Any]]) -> None:
        """Index the entries of images, and know their classes."""
        with error_context(self.json_path):
            names = {whole_number(c, "id"): str(c.get("name")) for c in categories}
        self._class_of_id = self.classes_by_name(names) if names else self.classes_by_id()
        self._by_id = {entry.image_id: entry for entry in entries}
        self._by_name = _only_unique(entries)

    def classes_by_id(self) -> Mapping[int, int]:
        """Map category ids to class indices, for a JSON that names no categories."""
        return self.info.index_of_official_id

    def classes_by_name(self, names: Mapping[int, str]) -> Mapping[int, int]:
        """Map category ids to class indices, for the categories that the data set has."""
        indices = self.info.index_of_name
        known = {number: indices[name] for number, name in names.items() if name in indices}
        if not known:
            name = next(iter(names.values()))
            raise DataError(
                f"{self.json_path}: none of its categories is one of {self.info.name}, such as "
                f"{name!r}{nearest(name, indices)}"
            )
        return known

    def missing(self, images: Iterable[tuple[str, Path]]) -> list[str]:
        """List the ids of the images (id, path) that have no prediction."""
        return [name for name, image_path in images if self._entry(name, image_path) is None]

    def read(self, image_id: str, image_path: Path) -> Prediction:
        """Read the prediction of an image that is not missing.

        Raises:
            DataError: its PNG is missing or unreadable or lies elsewhere, or a segment is of an
                unknown class.
        """
        entry = self._entry(image_id, image_path)
        place = f"{self.json_path}: image {entry.image_id}"
        png = inside(self.folder, entry.file_name, self.folder, place)
        segments = [self._segment(listed, place) for listed in entry.segments]
        return Prediction(read_ids(png), segments)

    def _entry(self, image_id: str, image_path: Path) -> _Entry | None:
        by_name = self._by_name.get(image_id) or self._by_name.get(image_path.stem)
        return self._by_id.get(image_id) or by_name

    def _segment(self, listed: ListedSegment, place: str) -> Segment:
        category = self._class_of_id.get(listed.category_id)
        if category is None:
            raise DataError(
                f"{place}: segment {listed.id} has category_id {listed.category_id!r}, which is no "
                f"class of {self.info.name}"
            )
        return Segment(listed.id, category, score=listed.score)


class CityscapesPredictions(CocoPredictions):
    """COCO panoptic files as Cityscapes' server takes them: category ids are label ids."""

    def classes_by_id(self) -> Mapping[int, int]:
        return {label_named(name).id: index for name, index in self.info.index_of_name.items()}


class SingleImagePredictions(CityscapesPredictions):
    """Predictions as EfficientPS and OpenDR write them: one JSON an image, label ids.

    Args:
        json_folder: the folder of the JSONs.
        png_folder: the folder of the PNGs.
        info: the classes of the data set, Cityscapes' by their names.

    Raises:
        DataError: there is no JSON, or one has another form or an unknown class.
    """

    def __init__(self, json_folder: str | Path, png_folder: str | Path, info: DatasetInfo) -> None:
        self.json_path, self.folder, self.info = Path(json_folder), Path(png_folder), info
        contents = [_read(path) for path in files_below(json_folder, ".json")]
        if not contents:
            raise DataError(f"{json_folder}: no *.json lies below")
        entries = [entry for listed, _ in contents for entry in listed]
        self._index(entries, [category for _, listed in contents for category in listed])


class Bdd100kPredictions:
    """A folder of BDD100K's RGBA bitmasks, at any depth, named as the images are.

    Args:
        path: the folder.
        info: the classes of the data set; they are BDD100K's by their names.

    Raises:
        DataError: there is no bitmask, or the data set's classes are others.
    """

    def __init__(self, path: str | Path, info: DatasetInfo) -> None:
        others = [name for name in BDD100K.index_of_name if name not in info.index_of_name]
        if others:
            raise UsageError(f"--format bdd100k: {info.name} has no class {others[0]!r}")
        self._classes = [info.index_of_name[name] for name in BDD100K.index_of_name]
        self._paths = {file.stem: file for file in files_below(path, ".png")}
        if not self._paths:
            raise DataError(f"{path}: no bitmask *.png lies below")

    def missing(self, images: Iterable[tuple[str, Path]]) -> list[str]:
        """List the ids of the images (id, path) that have no prediction."""
        return [name for name, image_path in images if image_path.stem not in self._paths]

    def read(self, image_id: str, image_path: Path) -> Prediction:
        """Read the prediction of an image that is not missing; instances of no class are void.

        Raises:
            DataError: the bitmask is unreadable.
        """
        bitmask = read_bitmask(self._paths[image_path.stem])
        known = [segment for segment in bitmask.segments if segment.category >= 0]
        segments = [Segment(segment.id, self._classes[segment.category]) for segment in known]
        return Prediction(_without_others(bitmask, known), segments)


class KittiStepPredictions:
    """KITTI-STEP's PNGs of class and id, `SEQUENCE/FRAME.png`, named as the images are.

    Args:
        path: their folder, or one with `kitti_step` or `motchallenge_step` as predict writes it.
        info: the classes of the data set, whose indices the PNGs have.

    Raises:
        DataError: there is no such folder.
    """

    def __init__(self, path: str | Path, info: DatasetInfo) -> None:
        places = [Path(path, name) for name in ("kitti_step", "motchallenge_step", ".")]
        folder = next((place for place in places if place.is_dir()), None)
        if folder is None:
            raise DataError(f"{path}: no such folder")
        self.folder, self.info = folder, info

    def missing(self, images: Iterable[tuple[str, Path]]) -> list[str]:
        """List the ids of the images (id, path) that have no prediction."""
        return [image_id for image_id, _ in images if not self._path(image_id).is_file()]

    def read(self, image_id: str, image_path: Path) -> Prediction:
        """Read the prediction of an image that is not missing; things have a `track_id`.

        Raises:
            DataError: the PNG is unreadable or has a class that is none of the data set.
        """
        found = read_step_map(self._path(image_id), self.info)
        return Prediction(found.ids, found.segments)

    def _path(self, image_id: str) -> Path:
        return self.folder / f"{image_id}.png"


FORMATS = {
    "coco": CocoPredictions,
    "cityscapes": CityscapesPredictions,
    "bdd100k": Bdd100kPredictions,
    "kitti_step": KittiStepPredictions,
}
"""How predictions may lie on disk."""


def _without_others(panoptic: PanopticMap, segments: Sequence[Segment]) -> np.ndarray:
    if len(segments) == len(panoptic.segments):
        return panoptic.ids
    kept = np.isin(panoptic.ids, [segment.id for segment in segments])
    return np.where(kept, panoptic.ids, VOID_ID)


def _find_json(path: Path) -> Path:
    if not path.exists():
        raise DataError(f"{path}: no such file or folder")
    if path.is_file():
        return path
    if (path / "panoptic.json").is_file():
        return path / "panoptic.json"
    found = sorted(path.glob("*.json"))
    if len(found) != 1:
        raise DataError(
            f"{path}: expected panoptic.json or a single *.json, got {len(found)}; name the JSON"
        )
    return found[0]


def _read(path: Path) -> tuple[list[_Entry], list[Mapping[str, Any]]]:
    entries, categories = [], []
    for key, item in iterate_items(path, "annotations", optional=["categories"]):
        if key == "annotations":
            entries.append(_entry(PanopticEntry.of(item, path), path))
        else:
            categories.append(item)
    return entries, categories


def _entry(entry: PanopticEntry, path: Path) -> _Entry:
    with error_context(f"{path}: image {entry.image_id}"):
        segments = tuple(
            ListedSegment(
                whole_number(segment, "id"),
                whole_number(segment, "category_id"),
                _score(segment),
                bool(flag(segment, "iscrowd")),
            )
            for segment in entry.segments
        )
    return _Entry(entry.image_id, entry.file_name, segments)


def _score(segment: Mapping[str, Any]) -> float | None:
    return None if segment.get("score") is None else number(segment, "score")


def _only_unique(entries: Iterable[_Entry]) -> dict[str, _Entry]:
    """Index entries by the last part of their id and by their file's stem, if it is unique."""
    found: dict[str, set[str]] = {}
    by_id = {}
    for entry in entries:
        by_id[entry.image_id] = entry
        for name in {Path(entry.image_id).name, Path(entry.file_name).stem}:
            found.setdefault(name, set()).add(entry.image_id)
    return {name: by_id[next(iter(ids))] for name, ids in found.items() if len(ids) == 1}
