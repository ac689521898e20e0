"""The formats that a conversion writes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from panoptic_deeplab.convert.run import AnnotatedImage, stem_of
from panoptic_deeplab.errors import DataError
from panoptic_deeplab.formats.bdd100k import BDD100K, write_bitmask
from panoptic_deeplab.formats.cityscapes import instance_id_map, label_id_map, label_named
from panoptic_deeplab.formats.coco import segments_info
from panoptic_deeplab.formats.images import write_ids, write_image
from panoptic_deeplab.structures import DatasetInfo, PanopticMap

_OF_CITYSCAPES = re.compile(r"(?P<city>[^_/]+)_\d+_\d+")
_NO_CITY = "images"


@dataclass(frozen=True)
class CocoPanopticTarget:
    """`output`/`name`.json and `output`/`name`/*.png.

    Attributes:
        output: the folder to write to.
        name: of JSON and folder.
        info: the classes.
    """

    output: Path
    name: str
    info: DatasetInfo

    @property
    def folder(self) -> Path:
        return self.output / self.name

    @property
    def summary(self) -> Path:
        """The JSON, which lists images, annotations and classes."""
        return self.output / f"{self.name}.json"

    @property
    def results(self) -> Sequence[Path]:
        return [self.summary, self.folder]

    def write(self, image: AnnotatedImage, panoptic: PanopticMap, folder: Path) -> tuple[str, str]:
        """Return the entries of `images` and `annotations` as text, a tenth as large as objects."""
        name = f"{stem_of(image)}.png"
        write_ids(folder / name, panoptic.ids)
        height, width = panoptic.ids.shape
        size = {"height": height, "width": width}
        segments = segments_info(panoptic.ids, panoptic.segments, self.info)
        return (
            json.dumps({"id": image.image_id, "file_name": image.file_name, **size}),
            json.dumps({"image_id": image.image_id, "file_name": name, "segments_info": segments}),
        )

    def summarize(self, entries: Sequence[tuple[str, str]], path: Path) -> None:
        categories = json.dumps(self.info.to_dict()["categories"])
        with path.open("w", encoding="utf-8") as file:
            file.write('{"images": [')
            file.writelines(_separated(image for image, _ in entries))
            file.write('],\n"annotations": [')
            file.writelines(_separated(annotation for _, annotation in entries))
            file.write(f'],\n"categories": {categories}}}\n')


def _separated(items: Iterable[str]) -> Iterator[str]:
    for number, item in enumerate(items):
        yield f",\n{item}" if number else item


@dataclass(frozen=True)
class CityscapesTarget:
    """`output`/gtFine/`name`/{city}/{image}_gtFine_{labelIds,instanceIds}.png.

    The city is the part of a Cityscapes name before the first `_`; else `images`.

    Attributes:
        output: the folder to write to.
        name: the split.
        info: the classes of what is written, Cityscapes' by their names.
        ignore_unknown: classes that Cityscapes lacks become void instead of an error.
    """

    output: Path
    name: str
    info: DatasetInfo
    ignore_unknown: bool = False
    summary = None

    @property
    def folder(self) -> Path:
        return self.output / "gtFine" / self.name

    @property
    def results(self) -> Sequence[Path]:
        return [self.folder]

    def write(self, image: AnnotatedImage, panoptic: PanopticMap, folder: Path) -> None:
        known = _with_known_classes(panoptic, image, self.info, self._is_known, self.ignore_unknown)
        stem = Path(stem_of(image)).name.removesuffix("_leftImg8bit")
        match = _OF_CITYSCAPES.fullmatch(stem)
        path = folder / (match["city"] if match else _NO_CITY) / f"{stem}_gtFine"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_image(f"{path}_labelIds.png", label_id_map(known, self.info))
        write_image(f"{path}_instanceIds.png", instance_id_map(known, self.info))

    @cached_property
    def _is_known(self) -> list[bool]:
        return [_is_label(category.name) for category in self.info.categories]


def _is_label(name: str) -> bool:
    try:
        label_named(name)
        return True
    except DataError:
        return False


@dataclass(frozen=True)
class Bdd100kTarget:
    """`output`/labels/pan_seg/bitmasks/`name`/*.png.

    Attributes:
        output: the folder to write to.
        name: the split.
        info: the classes of what is written, BDD100K's by their names.
        ignore_unknown: classes that BDD100K lacks become void instead of an error.
    """

    output: Path
    name: str
    info: DatasetInfo
    ignore_unknown: bool = False
    summary = None

    @property
    def folder(self) -> Path:
        return self.output / "labels" / "pan_seg" / "bitmasks" / self.name

    @property
    def results(self) -> Sequence[Path]:
        return [self.folder]

    def write(self, image: AnnotatedImage, panoptic: PanopticMap, folder: Path) -> None:
        is_known = [index is not None for index in self._indices]
        known = _with_known_classes(panoptic, image, self.info, is_known, self.ignore_unknown)
        segments = [
            replace(segment, category=self._indices[segment.category]) for segment in known.segments
        ]
        write_bitmask(folder / f"{stem_of(image)}.png", PanopticMap(known.ids, segments))

    @cached_property
    def _indices(self) -> list[int | None]:
        """Class index here -> class index of BDD100K."""
        return [BDD100K.index_of_name.get(category.name) for category in self.info.categories]


def _with_known_classes(
    panoptic: PanopticMap,
    image: AnnotatedImage,
    info: DatasetInfo,
    is_known: Sequence[bool],
    ignore_unknown: bool,
) -> PanopticMap:
    """Make the segments of other classes void.

    Raises:
        DataError: there are such segments and they may not be ignored.
    """
    unknown = [segment for segment in panoptic.segments if not is_known[segment.category]]
    if unknown and not ignore_unknown:
        name = info.categories[unknown[0].category].name
        raise DataError(
            f"{image.file_name}: segment {unknown[0].id} is of the class {name!r}, which the "
            "format lacks; rename the class in the source, or --ignore_unknown makes it void"
        )
    kept = [segment for segment in panoptic.segments if is_known[segment.category]]
    return PanopticMap(panoptic.ids, kept)
