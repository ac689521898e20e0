"""Sources that list objects, to be painted over each other: COCO instances and labelme."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from panoptic_deeplab.convert.classes import with_stuff
from panoptic_deeplab.convert.painting import ORDERS, Piece, paint, pieces_of, stuff_joined
from panoptic_deeplab.convert.run import AnnotatedImage, Source
from panoptic_deeplab.errors import DataError, UsageError, error_context, nearest
from panoptic_deeplab.file_names import inside, relative_name
from panoptic_deeplab.files import files_below
from panoptic_deeplab.formats.coco_instances import InstancesImage, instance_mask, read_instances
from panoptic_deeplab.formats.images import IMAGE_SUFFIXES, image_size, read_label_map
from panoptic_deeplab.formats.labelme import Shape, read_labelme, shape_mask
from panoptic_deeplab.structures import DatasetInfo, PanopticMap, Segment

IGNORED_VALUE = 255
VOID_LABELS = frozenset({"__ignore__", "_background_"})
"""Labels for pixels of no class in labelme's own examples."""

_GROUP = "group"


@dataclass(frozen=True)
class SemanticFolder:
    """PNGs of class values, one per image, for what lies beneath the objects.

    Attributes:
        folder: holds NAME.png for the image NAME.jpg.
        names: value -> class; 255 is void unless it has a name.
        ignore_unknown: other values are void too, instead of an error.
    """

    folder: Path
    names: Mapping[int, str]
    ignore_unknown: bool = False


def open_coco_instances(json: Path, overlap: str, semantic: SemanticFolder | None) -> Source:
    """Open the objects of a COCO instances JSON, over a semantic map if there is one.

    Raises:
        DataError: the file is broken.
    """
    info, images = read_instances(json)
    if semantic is not None:
        if not semantic.folder.is_dir():
            raise DataError(f"{semantic.folder}: no such folder of semantic PNGs")
        info = with_stuff(info, list(semantic.names.values()))
    listed = [
        AnnotatedImage(image.image_id, relative_name(image.file_name, json), image)
        for image in images
    ]
    read = partial(_read_instances, json=json, info=info, overlap=overlap, semantic=semantic)
    return Source(info, listed, read)


def _read_instances(
    image: AnnotatedImage,
    json: Path,
    info: DatasetInfo,
    overlap: str,
    semantic: SemanticFolder | None,
) -> PanopticMap:
    content: InstancesImage = image.content
    beneath = PanopticMap(np.zeros(content.size, np.int32), [])
    if semantic is not None:
        beneath = _semantic_map(image, content.size, json, info, semantic)
    with error_context(f"{json}: image {image.file_name}"):
        pieces = pieces_of(
            Piece.cut(
                number, instance.category, instance.iscrowd, instance_mask(instance, content.size)
            )
            for number, instance in enumerate(content.instances)
        )
    painted = paint(beneath.ids, pieces, ORDERS[overlap])
    return stuff_joined(PanopticMap(painted.ids, [*beneath.segments, *painted.segments]), info)


def _semantic_map(
    image: AnnotatedImage,
    size: tuple[int, int],
    json: Path,
    info: DatasetInfo,
    semantic: SemanticFolder,
) -> PanopticMap:
    """Read a segment of id class index + 1 for each stuff class; things have no instances: void."""
    name = Path(image.file_name).with_suffix(".png").as_posix()
    path = inside(semantic.folder, name, semantic.folder, json)
    values = read_label_map(path)
    if values.shape != size:
        raise DataError(
            f"{path}: expected a semantic PNG of {size[1]} x {size[0]} pixels, got "
            f"{values.shape[1]} x {values.shape[0]}"
        )
    ids = np.zeros(size, np.int32)
    segments = []
    for value in np.unique(values).tolist():
        if value not in semantic.names:
            if semantic.ignore_unknown or value == IGNORED_VALUE:
                continue
            y, x = np.argwhere(values == value)[0]
            raise DataError(
                f"{path}: value {value} at pixel (y {y}, x {x}) has no name in --stuff_classes; "
                "add it, or --ignore_unknown makes it void"
            )
        category = info.index_of_name[semantic.names[value]]
        if not info.categories[category].is_thing:
            ids[values == value] = category + 1
            segments.append(Segment(category + 1, category))
    return PanopticMap(ids, segments)


def open_labelme(
    folder: Path, image_folder: Path, info: DatasetInfo, overlap: str, ignore_unknown: bool
) -> Source:
    """Open all labelme JSONs below a folder.

    Args:
        folder: of the JSONs.
        image_folder: the folder of the images, each at the place and with the name of its JSON. The
            paths in the JSONs are not used.
        info: the classes.
        overlap: which shape covers which, of `ORDERS`.
        ignore_unknown: shapes of other labels are left out instead of an error.

    Raises:
        UsageError: a class has a name that labelme keeps for void.
        DataError: there is no JSON, or one has no image.
    """
    reserved = VOID_LABELS & info.index_of_name.keys()
    if reserved:
        raise UsageError(
            f"{min(reserved)} cannot be a class: labelme calls pixels without a class so"
        )
    files = files_below(folder, ".json")
    if not files:
        raise DataError(f"{folder}: expected a folder of labelme's JSONs, found none")
    images = []
    for path in files:
        stem = path.relative_to(folder).with_suffix("")
        image_path = _image_named(image_folder / stem, path)
        name = relative_name(image_path.relative_to(image_folder).as_posix(), path)
        images.append(AnnotatedImage(stem.as_posix(), name, (path, image_path)))
    read = partial(_read_labelme, info=info, overlap=overlap, ignore_unknown=ignore_unknown)
    return Source(info, images, read)


def _image_named(stem: Path, json: Path) -> Path:
    candidates = [stem.with_name(stem.name + suffix) for suffix in sorted(IMAGE_SUFFIXES)]
    candidates += [path.with_suffix(path.suffix.upper()) for path in candidates]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise DataError(f"{json}: its image {stem}.* is missing; --images names the folder of these")


def _read_labelme(
    image: AnnotatedImage, info: DatasetInfo, overlap: str, ignore_unknown: bool
) -> PanopticMap:
    path, image_path = image.content
    annotation = read_labelme(path)
    size = annotation.size or image_size(image_path)
    with error_context(path):
        pieces = pieces_of(
            _piece(number, shape, size, info, ignore_unknown)
            for number, shape in enumerate(annotation.shapes)
        )
    painted = paint(np.zeros(size, np.int32), pieces, ORDERS[overlap])
    return stuff_joined(painted, info)


def _piece(
    number: int, shape: Shape, size: tuple[int, int], info: DatasetInfo, ignore_unknown: bool
) -> Piece | None:
    """Cut out a shape; None if it covers nothing or its label is ignored."""
    if shape.label in VOID_LABELS:
        return Piece.cut(number, None, False, shape_mask(shape, size))
    index_of, name, iscrowd = info.index_of_name, shape.label, shape.iscrowd
    if name not in index_of and name.removesuffix(_GROUP) in index_of:
        name, iscrowd = name.removesuffix(_GROUP), True
    if name not in index_of:
        if ignore_unknown:
            return None
        raise DataError(
            f"shape {number} has the label {shape.label!r:.80}, which is none of the "
            f"{info.num_classes} classes{nearest(name, index_of)}; add it, or --ignore_unknown "
            "leaves it out"
        )
    owner = _owner(number, shape, name, iscrowd)
    return Piece.cut(owner, index_of[name], iscrowd, shape_mask(shape, size))


def _owner(number: int, shape: Shape, name: str, iscrowd: bool) -> tuple[object, ...]:
    """A key that the shapes of one object share; the crowds of a class are one object."""
    if iscrowd:
        return ("crowd", name)
    return ("alone", number) if shape.group_id is None else ("group", name, shape.group_id)
