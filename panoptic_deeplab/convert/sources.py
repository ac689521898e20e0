"""Sources that are maps of segments already: nothing has to be painted over another."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np

from panoptic_deeplab.convert.classes import marked_as_stuff
from panoptic_deeplab.convert.painting import stuff_joined
from panoptic_deeplab.convert.prepare_cityscapes import converter_errors
from panoptic_deeplab.convert.run import AnnotatedImage, Source
from panoptic_deeplab.errors import (
    DataError,
    UsageError,
    collecting_errors,
    error_context,
    nearest,
    raise_or_collect,
    skipping_faults,
)
from panoptic_deeplab.file_names import inside, relative_name
from panoptic_deeplab.files import files_below, open_file
from panoptic_deeplab.formats import bdd100k, kitti
from panoptic_deeplab.formats.bdd100k import BDD100K
from panoptic_deeplab.formats.cityscapes import (
    CITYSCAPES_LABELS,
    LabelTable,
    panoptic_of_instance_ids,
    read_instance_ids,
)
from panoptic_deeplab.formats.coco import (
    read_info,
    read_panoptic_file,
    read_panoptic_map,
)
from panoptic_deeplab.formats.images import IMAGE_SUFFIXES
from panoptic_deeplab.formats.label_colors import (
    FILE_NAME,
    are_cityscapes,
    read_label_colors,
    surfaces,
    table_of,
)
from panoptic_deeplab.formats.masks import MAX_PIXELS, rle_size
from panoptic_deeplab.formats.scalabel import Label, read_frames
from panoptic_deeplab.id_maps import distinct_ids
from panoptic_deeplab.structures import DatasetInfo, PanopticMap

_INSTANCES = "_gtFine_instanceIds.png"
_POLYGONS = "_gtFine_polygons.json"


def open_cityscapes(root: Path, split: str, stuff: str = "") -> Source:
    """Open `root`/gtFine/`split`, at any depth: instance ids, or polygons where there are none.

    The labels are Cityscapes', or one's own where CVAT wrote `root`/label_colors.txt. Of those the
    surfaces are what `stuff` names or, without it, what has no instance in any split.

    Args:
        root: the folder that holds gtFine.
        split: the folder below gtFine.
        stuff: names of own labels, comma-separated.

    Raises:
        UsageError: `stuff` names no label of one's own.
        DataError: there is neither, or label_colors.txt is broken.
    """
    folder = root / "gtFine" / split
    files = {_stem(path, _POLYGONS): path for path in files_below(folder, _POLYGONS)}
    files |= {_stem(path, _INSTANCES): path for path in files_below(folder, _INSTANCES)}
    if not files:
        raise DataError(f"{folder}: holds no {{city}}/*{_INSTANCES} nor *{_POLYGONS}")
    table = _own_labels(root, stuff)
    if table is None and stuff:
        raise UsageError(f"--stuff: the classes are Cityscapes'; {root} has no {FILE_NAME}")
    images = [
        AnnotatedImage(stem.name, _image_name(stem.relative_to(folder), root, split, table), path)
        for stem, path in sorted(files.items())
    ]
    table = table or CITYSCAPES_LABELS
    return Source(table.info, images, partial(_read_cityscapes, table=table))


def _stem(path: Path, suffix: str) -> Path:
    return path.with_name(path.name[: -len(suffix)])


def _own_labels(root: Path, stuff: str) -> LabelTable | None:
    """The labels of CVAT's label_colors.txt; None for Cityscapes' own."""
    path = root / FILE_NAME
    labels = read_label_colors(path) if path.exists() else []
    if not labels or are_cityscapes(labels):
        return None
    if stuff:
        table = table_of(labels, (), path)
        return replace(table, info=marked_as_stuff(table.info, stuff))
    files = files_below(root / "gtFine", _INSTANCES)
    found = chain.from_iterable(distinct_ids(read_instance_ids(file)) for file in files)
    return table_of(labels, surfaces(labels, found), path)


def _image_name(place: Path, root: Path, split: str, own: LabelTable | None) -> str:
    """The image of an annotation, below the folder of the split's images.

    CVAT exports images of any format to `imgsFine`; without them, they have the user's own names.
    """
    if own is None:
        return f"{place}_leftImg8bit.png"
    folder = root / "imgsFine" / "leftImg8bit" / split
    for suffix in sorted(IMAGE_SUFFIXES):
        name = f"{place}_leftImg8bit{suffix}"
        if (folder / name).is_file():
            return name
    return f"{place}.png"


def _read_cityscapes(image: AnnotatedImage, table: LabelTable) -> PanopticMap:
    path: Path = image.content
    values = read_instance_ids(path) if path.suffix == ".png" else _painted_polygons(path)
    panoptic = panoptic_of_instance_ids(values, path, table)
    return panoptic if table is CITYSCAPES_LABELS else stuff_joined(panoptic, table.info)


def _painted_polygons(path: Path) -> np.ndarray:
    """[H, W] int32 instance ids, by the routine of cityscapesscripts."""
    from cityscapesscripts.helpers.annotation import Annotation as Polygons
    from cityscapesscripts.preparation.json2instanceImg import createInstanceImage

    polygons = Polygons()
    with open_file(path) as file, converter_errors(path):
        polygons.fromJsonText(file.read().decode("utf-8"))
        height, width = int(polygons.imgHeight), int(polygons.imgWidth)
        if min(height, width) < 1 or height * width > MAX_PIXELS:
            raise ValueError(f"an image of {height} x {width} pixels")
        return np.asarray(createInstanceImage(polygons, "ids")).astype(np.int32)


def open_bitmasks(folder: Path) -> Source:
    """Open the RGBA bitmasks of BDD100K below a folder.

    Raises:
        DataError: there is none.
    """
    images = [AnnotatedImage(stem, f"{stem}.jpg", path) for stem, path in _pngs(folder, "bitmask")]
    return Source(BDD100K, images, _read_bitmask)


def _read_bitmask(image: AnnotatedImage) -> PanopticMap:
    return stuff_joined(bdd100k.read_annotation(image.content), BDD100K)


def open_kitti(root: Path, split: str) -> Source:
    """Open KITTI's `root`/`split`/annotations.

    Raises:
        DataError: there is none.
    """
    folder = root / split / "annotations"
    images = [
        AnnotatedImage(stem, f"{stem}.png", path) for stem, path in _pngs(folder, "annotation")
    ]
    return Source(kitti.KITTI, images, _read_kitti)


def _read_kitti(image: AnnotatedImage) -> PanopticMap:
    return stuff_joined(kitti.read_annotation(image.content), kitti.KITTI)


def _pngs(folder: Path, kind: str) -> list[tuple[str, Path]]:
    """List (name below the folder without suffix, file)."""
    found = files_below(folder, ".png")
    if not found:
        raise DataError(f"{folder}: expected a folder with a *.png for each {kind}, found none")
    return [(path.relative_to(folder).with_suffix("").as_posix(), path) for path in found]


def open_scalabel(json: Path, size: tuple[int, int], ignore_unknown: bool) -> Source:
    """Open a Scalabel JSON, or a folder of them, with BDD100K's panoptic classes.

    Args:
        json: the file or folder.
        size: (height, width) of frames that have polygons; an RLE has its own.
        ignore_unknown: labels of other categories, and without a mask, become void.

    Raises:
        DataError: the file is broken, or a label is unknown and not to be ignored.
    """
    names = BDD100K.index_of_name
    images = []
    with collecting_errors() as faults:
        for frame in read_frames(json):
            for label in frame.labels:
                if label.category not in {*names, bdd100k.UNLABELED} and not ignore_unknown:
                    problem = (
                        f"{frame.source}: frame {frame.name}: {label.category!r:.80} is no class "
                        f"of BDD100K{nearest(label.category, names)}; correct it, or "
                        "--ignore_unknown makes it void"
                    )
                    raise_or_collect(DataError(problem))
            known = tuple(label for label in frame.labels if label.category in names)
            with skipping_faults(frame.source):
                name = relative_name(frame.name, "frame")
                stem = name.rsplit(".", 1)[0]
                images.append(AnnotatedImage(stem, name, (frame.source, known)))
    return Source(BDD100K, images, partial(_read_frame, size=size), faults)


def _read_frame(image: AnnotatedImage, size: tuple[int, int]) -> PanopticMap:
    source, labels = image.content
    with error_context(f"{source}: frame {image.file_name}"):
        return bdd100k.painted_annotation(labels, _size_of(labels) or size)


def _size_of(labels: tuple[Label, ...]) -> tuple[int, int] | None:
    """The (height, width) that the first RLE claims; decoding checks it."""
    for label in labels:
        if label.rle is not None:
            return rle_size(label.rle)
    return None


def open_coco_panoptic(json: Path, folder: Path | None, info: DatasetInfo | None) -> Source:
    """Open a COCO panoptic JSON and its PNGs.

    Args:
        json: the file.
        folder: of the PNGs; None for the one beside the JSON that has its name.
        info: the classes, for a JSON without categories, as predictions often are.

    Raises:
        DataError: the file is broken, or a PNG's name points elsewhere.
    """
    info = read_info(json) if info is None else info
    folder = json.with_suffix("") if folder is None else folder
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; --png_folder names the folder of the PNGs")
    images = []
    with collecting_errors() as faults:
        content = read_panoptic_file(json, info)
        for annotation in content.annotations:
            with skipping_faults(json):
                place = f"image {annotation.image_id}"
                listed = content.images.get(annotation.image_id, annotation.file_name)
                name = relative_name(listed, place)
                png = inside(folder, annotation.file_name, folder, place)
                images.append(AnnotatedImage(annotation.image_id, name, (png, annotation.segments)))
    return Source(info, images, _read_coco_panoptic, faults)


def _read_coco_panoptic(image: AnnotatedImage) -> PanopticMap:
    return read_panoptic_map(*image.content)
