"""Sources that list objects, to be painted over each other: COCO instances and labelme."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from glob import escape
from pathlib import Path, PureWindowsPath

import numpy as np

from panoptic_deeplab.convert.classes import marked_as_stuff, with_stuff
from panoptic_deeplab.convert.painting import ORDERS, Piece, paint, pieces_of, stuff_joined
from panoptic_deeplab.convert.run import AnnotatedImage, Source
from panoptic_deeplab.errors import (
    DataError,
    UsageError,
    collect,
    collecting_errors,
    error_context,
    nearest,
    skipping_faults,
)
from panoptic_deeplab.file_names import inside, relative_name
from panoptic_deeplab.files import files_below, read_json
from panoptic_deeplab.formats.coco_instances import (
    Instance,
    InstancesImage,
    instance_mask,
    read_instances,
)
from panoptic_deeplab.formats.images import IMAGE_SUFFIXES, TURNS, read_label_map, read_size
from panoptic_deeplab.formats.labelme import (
    LabelmeFile,
    Shape,
    is_labelme,
    read_labelme,
    shape_mask,
)
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


def open_coco_instances(
    json: Path,
    overlap: str,
    semantic: SemanticFolder | None,
    stuff: str = "",
    image_folder: Path | None = None,
) -> Source:
    """Open the objects of a COCO instances JSON, over a semantic map if there is one.

    Args:
        json: the file.
        overlap: which object covers which, of `ORDERS`.
        semantic: what lies beneath the objects.
        stuff: names of categories, comma-separated, whose objects are surfaces.
        image_folder: of the images, where names that lead elsewhere are looked for by their last
            part; None if it is not known.

    Raises:
        UsageError: a name of stuff is no category.
        DataError: the file is broken.
    """
    with collecting_errors() as faults:
        info, images = read_instances(json)
        info = marked_as_stuff(info, stuff)
        listed = []
        for image in images:
            with skipping_faults(json):
                name = _name_of(image, image_folder)
                listed.append(AnnotatedImage(image.image_id, name, image))
    if semantic is not None:
        if not semantic.folder.is_dir():
            raise DataError(f"{semantic.folder}: no such folder of semantic PNGs")
        info = with_stuff(info, list(semantic.names.values()))
    read = partial(_read_instances, json=json, info=info, overlap=overlap, semantic=semantic)
    return Source(info, listed, read, faults)


def _name_of(image: InstancesImage, image_folder: Path | None) -> str:
    """The name of an image below the folder of images.

    Raises:
        DataError: it leads elsewhere.
    """
    last = PureWindowsPath(image.file_name).name
    found_by_last = image_folder is not None and last and (image_folder / last).is_file()
    try:
        name = relative_name(image.file_name, f"image {image.image_id}", image_folder)
    except DataError as error:
        if found_by_last:
            return last
        hint = "; --images finds images by the last part of their names"
        raise DataError(f"{error}{hint}", kind=error.kind) from error
    return last if found_by_last and not (image_folder / name).is_file() else name


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
    place = f"{json}: image {image.file_name}"
    pieces = pieces_of(
        _piece_of_instance(number, instance, content.size, place)
        for number, instance in enumerate(content.instances)
    )
    painted = paint(beneath.ids, pieces, ORDERS[overlap])
    return stuff_joined(PanopticMap(painted.ids, [*beneath.segments, *painted.segments]), info)


def _piece_of_instance(
    number: int, instance: Instance, size: tuple[int, int], place: str
) -> Piece | None:
    """Cut out an object; None if it is broken or covers nothing."""
    piece = None
    with skipping_faults(place):
        mask = instance_mask(instance, size)
        piece = Piece.cut(number, instance.category, instance.iscrowd, mask)
        if piece is None:
            problem = f"{place}: annotation {instance.id} covers no pixel"
            collect(DataError(problem, kind="empty mask"))
    return piece


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
                f"{path}: value {value} at pixel (y {y}, x {x}) has no name in --semantic_classes; "
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
    with collecting_errors() as faults:
        for path in files:
            with skipping_faults(path):
                image_path = _image_of(path, path.parent.relative_to(folder), image_folder)
                if image_path is None:
                    collect(DataError(f"{path}: is no annotation of labelme"))
                    continue
                name = image_path.relative_to(image_folder).as_posix()
                image_id = path.relative_to(folder).with_suffix("").as_posix()
                images.append(AnnotatedImage(image_id, name, (path, image_path)))
    read = partial(_read_labelme, info=info, overlap=overlap, ignore_unknown=ignore_unknown)
    return Source(info, images, read, faults)


def _image_of(json: Path, place: Path, image_folder: Path) -> Path | None:
    """Find the image of a JSON: of its name, else of the name that it gives.

    Args:
        json: the file.
        place: the folder of both, below theirs.
        image_folder: of all images.

    Returns:
        The image; None for a JSON of something else.

    Raises:
        DataError: it is missing.
    """
    for suffix in sorted(IMAGE_SUFFIXES):
        path = inside(image_folder, str(place / (json.stem + suffix)), image_folder, json)
        if path.is_file():
            return path
    content = read_json(json)
    if not is_labelme(content):
        return None
    named = PureWindowsPath(str(content.get("imagePath") or "")).name
    path = inside(image_folder, str(place / named), image_folder, json)
    if named and path.is_file() and path.suffix.lower() in IMAGE_SUFFIXES:
        return path
    stem = image_folder / place / json.stem
    others = [p for p in stem.parent.glob(f"{escape(stem.name)}.*") if p.suffix.lower() != ".json"]
    problem = f"{others[0]} is of a format that is not read" if others else f"{stem}.* is missing"
    raise DataError(f"its image {problem}; --images names the folder of images, {_FORMATS}")


_FORMATS = f"which are {', '.join(sorted(IMAGE_SUFFIXES))}"


def _read_labelme(
    image: AnnotatedImage, info: DatasetInfo, overlap: str, ignore_unknown: bool
) -> PanopticMap:
    path, image_path = image.content
    annotation = read_labelme(path)
    with error_context(path):
        size = _size_of(annotation, image_path)
    pieces = pieces_of(
        _piece(shape, size, info, ignore_unknown, path) for shape in annotation.shapes
    )
    painted = paint(np.zeros(size, np.int32), pieces, ORDERS[overlap])
    return stuff_joined(painted, info)


def _size_of(annotation: LabelmeFile, image_path: Path) -> tuple[int, int]:
    """The (height, width) of the upright image, in which the shapes must have been drawn.

    Raises:
        DataError: the annotation says that they were drawn in another.
    """
    size, orientation = read_size(image_path)
    height, width = annotation.size or size
    swapped = (width, height) == size and orientation == 1 and annotation.fits(size)
    if (height, width) == size or swapped:
        return size
    turned = (
        f"; its EXIF orientation {orientation} ({TURNS[orientation].name}) turns it: if the shapes "
        "fit the stored pixels, remove the tag (exiftool -Orientation= FILE)"
        if orientation != 1
        else ""
    )
    raise DataError(
        f"imageHeight {height} and imageWidth {width} are not those of {image_path}, {size[0]} and "
        f"{size[1]}{turned}",
        kind="size mismatch",
    )


def _piece(
    shape: Shape, size: tuple[int, int], info: DatasetInfo, ignore_unknown: bool, path: Path
) -> Piece | None:
    """Cut out a shape; None if it is broken or covers nothing, or its label is ignored."""
    piece, place = None, f"{path}: shape {shape.number}"
    with skipping_faults(place):
        if shape.label in VOID_LABELS:
            return Piece.cut(shape.number, None, False, shape_mask(shape, size))
        name, iscrowd = _class_of(shape, info)
        if name not in info.index_of_name and ignore_unknown:
            return None
        if name not in info.index_of_name:
            raise DataError(
                f"the label {shape.label!r:.80} is none of the {info.num_classes} classes"
                f"{nearest(name, info.index_of_name)}; add it, or --ignore_unknown leaves it out"
            )
        owner = _owner(shape, name, iscrowd)
        mask = shape_mask(shape, size)
        piece = Piece.cut(owner, info.index_of_name[name], iscrowd, mask)
        if piece is None:
            collect(DataError(f"{place} ({name}) covers no pixel", kind="empty mask"))
    return piece


def _class_of(shape: Shape, info: DatasetInfo) -> tuple[str, bool]:
    """The class of a shape's label, perhaps unknown, and whether it is a crowd, as cargroup is."""
    name = shape.label.removesuffix(_GROUP)
    if shape.label not in info.index_of_name and name in info.index_of_name:
        return name, True
    return shape.label, shape.iscrowd


def _owner(shape: Shape, name: str, iscrowd: bool) -> tuple[object, ...]:
    """A key that the shapes of one object share; the crowds of a class are one object."""
    if iscrowd:
        return ("crowd", name)
    if shape.group_id is None:
        return ("alone", shape.number)
    return ("group", name, shape.group_id)
