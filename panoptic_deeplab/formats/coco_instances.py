"""COCO's instance annotations: one JSON of objects with polygons or RLE masks.

Following https://cocodataset.org/#format-data (object detection).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from panoptic_deeplab.errors import DataError, collect, error_context, skipping_faults
from panoptic_deeplab.formats.coco import info_of_categories
from panoptic_deeplab.formats.json_items import iterate_items
from panoptic_deeplab.formats.masks import MAX_PIXELS, decode_rle, fill_polygons
from panoptic_deeplab.formats.panoptic_json import flag, image_id_of, whole_number
from panoptic_deeplab.structures import DatasetInfo


@dataclass(frozen=True, slots=True)
class Instance:
    """One object of an image.

    Attributes:
        id: as in the file, for errors.
        category: class index.
        iscrowd: a group of instances that are not separated.
        outlines: [N, 2] float64 (x, y) polygons, together one object; or None.
        rle: `{size, counts}` where there are no outlines.
    """

    id: str
    category: int
    iscrowd: bool
    outlines: tuple[np.ndarray, ...] | None
    rle: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class InstancesImage:
    """One image and what lies in it.

    Attributes:
        image_id: as in the file.
        file_name: of the image, as in the file; may lead anywhere.
        size: (height, width).
        instances: in the order of the file.
    """

    image_id: int | str
    file_name: str
    size: tuple[int, int]
    instances: tuple[Instance, ...] = ()


def read_instances(path: str | Path) -> tuple[DatasetInfo, list[InstancesImage]]:
    """Read the classes and the images of an instances JSON.

    It is read item by item; what is kept takes about twice the file's size in memory. A category
    without `isthing` is a thing. The root category that Roboflow adds is left out, and collected.

    Raises:
        DataError: the file is unreadable or of another form, or an annotation names an image or a
            category that the file lacks; `collecting_errors` hears of all.
    """
    categories: list[Mapping[str, Any]] = []
    images: dict[str, InstancesImage | None] = {}
    objects: dict[str, list[tuple[int, Instance]]] = {}
    for key, entry in iterate_items(path, "images", "annotations", "categories"):
        with skipping_faults(path), _of_the_form(key, entry):
            if key == "images":
                _add_image(images, entry)
            elif key == "annotations":
                objects.setdefault(image_id_of(entry["image_id"]), []).append(_instance(entry))
            else:
                categories.append({"isthing": 1, **entry})
    used = {category_id for pairs in objects.values() for category_id, _ in pairs}
    info = info_of_categories(_without_root(categories, used, path), path)
    for image_id, pairs in objects.items():
        instances = []
        for pair in pairs:
            with skipping_faults(path):
                instances.append(_with_class_index(pair, info))
        with skipping_faults(path):
            if image_id not in images:
                raise DataError(f"an annotation is of image {image_id}, which 'images' lacks")
        image = images.get(image_id)
        if image is not None:
            images[image_id] = replace(image, instances=tuple(instances))
    return info, [image for image in images.values() if image is not None]


_EXPECTED = {
    "images": "an image needs id, file_name, height and width",
    "annotations": "an annotation needs id, image_id, category_id and a segmentation: polygons "
    "[[x, y, x, y, x, y, ...], ...] or an RLE {size, counts}, or else a bbox [x, y, width, height]",
    "categories": "a category needs id and name",
}


@contextmanager
def _of_the_form(key: str, entry: Any) -> Iterator[None]:
    """Make of what goes wrong with an entry an error that tells the form of such entries."""
    try:
        yield
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
        raise DataError(
            f"{_EXPECTED[key]}; got {type(error).__name__} {error} in {entry!r:.200}"
        ) from error


def _add_image(images: dict[str, InstancesImage | None], entry: Any) -> None:
    """Add the image of an entry by its id; None where the entry says too little of it."""
    image_id = image_id_of(entry["id"])
    if image_id in images:
        raise DataError(f"image {image_id} is listed twice")
    images[image_id] = None
    height, width = int(entry["height"]), int(entry["width"])
    if min(height, width) < 1 or height * width > MAX_PIXELS:
        raise ValueError(f"size {height} x {width}")
    images[image_id] = InstancesImage(entry["id"], str(entry["file_name"]), (height, width))


def _instance(entry: Any) -> tuple[int, Instance]:
    """The category's id and the object, whose class index is not known yet."""
    number, segmentation = str(entry.get("id")), entry.get("segmentation")
    category_id, iscrowd = whole_number(entry, "category_id"), bool(flag(entry, "iscrowd"))
    if isinstance(segmentation, Mapping):
        return category_id, Instance(number, -1, iscrowd, None, segmentation)
    if segmentation is not None and not isinstance(segmentation, list):
        raise TypeError(f"segmentation {segmentation!r:.50}")
    if segmentation and not isinstance(segmentation[0], list):
        segmentation = [segmentation]  # one polygon, not in a list
    polygons = [polygon for polygon in segmentation or () if polygon]
    if not polygons:
        polygons = [_corners(*map(float, entry["bbox"]))]  # a rectangle as CVAT writes it
    outlines = tuple(_outline(polygon) for polygon in polygons)
    return category_id, Instance(number, -1, iscrowd, outlines, None)


def _outline(polygon: Sequence[float]) -> np.ndarray:
    if len(polygon) % 2:
        raise ValueError(f"a polygon of {len(polygon)} numbers, which are no pairs")
    return np.array(polygon, np.float64).reshape(-1, 2)


def _corners(x: float, y: float, width: float, height: float) -> list[float]:
    return [x, y, x + width, y, x + width, y + height, x, y + height]


def _without_root(
    categories: Sequence[Mapping[str, Any]], used: set[int], path: str | Path
) -> Sequence[Mapping[str, Any]]:
    """Leave out the category without objects that is the supercategory of all others."""
    for root in categories:
        others = [category for category in categories if category is not root]
        above = {str(category.get("supercategory")) for category in others}
        is_root = above == {str(root.get("name"))} and str(root.get("supercategory")) not in above
        if is_root and whole_number(root, "id") not in used:
            problem = f"{path}: category {root['name']!r} is above all others and has no object"
            collect(DataError(problem))
            return others
    return categories


def _with_class_index(pair: tuple[int, Instance], info: DatasetInfo) -> Instance:
    category_id, instance = pair
    if category_id not in info.index_of_official_id:
        raise DataError(
            f"annotation {instance.id} has category_id {category_id}, which is none of its "
            f"{info.num_classes} categories"
        )
    return replace(instance, category=info.index_of_official_id[category_id])


def instance_mask(instance: Instance, size: tuple[int, int]) -> np.ndarray:
    """[H, W] bool, the pixels of an object in an image of `size`.

    Raises:
        DataError: its RLE or polygons are broken, or of another size than the image.
    """
    with error_context(f"annotation {instance.id}"):
        if instance.outlines is not None:
            return fill_polygons(instance.outlines, size)
        mask = decode_rle(instance.rle)
        if mask.shape != size:
            raise DataError(
                f"its RLE has size {mask.shape[0]} x {mask.shape[1]}, the image {size[0]} x "
                f"{size[1]} (height x width)"
            )
        return mask
