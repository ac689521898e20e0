"""COCO's instance annotations: one JSON of objects with polygons or RLE masks.

Following https://cocodataset.org/#format-data (object detection).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from panoptic_deeplab.errors import DataError, error_context
from panoptic_deeplab.formats.coco import info_of_categories
from panoptic_deeplab.formats.json_items import iterate_items
from panoptic_deeplab.formats.masks import MAX_PIXELS, decode_rle, fill_polygons
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
    without `isthing` is a thing.

    Raises:
        DataError: the file is unreadable or of another form, or an annotation names an image or a
            category that the file lacks.
    """
    categories: list[Any] = []
    images: dict[int | str, InstancesImage] = {}
    objects: dict[int | str, list[tuple[Any, Instance]]] = {}
    for key, entry in iterate_items(path, "images", "annotations", "categories"):
        try:
            if key == "images":
                image = _image(entry)
                images[image.image_id] = image
            elif key == "annotations":
                objects.setdefault(entry["image_id"], []).append(_instance(entry))
            else:
                categories.append({"isthing": 1, **entry})
        except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
            raise DataError(
                f"{path}: {_EXPECTED[key]}; got {type(error).__name__} {error} in {entry!r:.200}"
            ) from error
    info = info_of_categories(categories, path)
    missing = objects.keys() - images.keys()
    if missing:
        number = min(map(str, missing))
        raise DataError(f"{path}: an annotation is of image {number}, which 'images' lacks")
    for image_id, pairs in objects.items():
        instances = tuple(_with_class_index(pair, info, path) for pair in pairs)
        images[image_id] = replace(images[image_id], instances=instances)
    return info, list(images.values())


_EXPECTED = {
    "images": "an image needs id, file_name, height and width",
    "annotations": "an annotation needs id, image_id, category_id and a segmentation: polygons "
    "[[x, y, x, y, x, y, ...], ...] or an RLE {size, counts}",
    "categories": "a category needs id and name",
}


def _image(entry: Any) -> InstancesImage:
    height, width = int(entry["height"]), int(entry["width"])
    if min(height, width) < 1 or height * width > MAX_PIXELS:
        raise ValueError(f"size {height} x {width}")
    if not isinstance(entry["id"], (int, str)):
        raise TypeError(f"id {entry['id']!r}")
    return InstancesImage(entry["id"], str(entry["file_name"]), (height, width))


def _instance(entry: Any) -> tuple[Any, Instance]:
    """The category's id and the object, whose class index is not known yet."""
    number, segmentation = str(entry.get("id")), entry["segmentation"]
    iscrowd = bool(entry.get("iscrowd", 0))
    if isinstance(segmentation, Mapping):
        return entry["category_id"], Instance(number, -1, iscrowd, None, segmentation)
    if not isinstance(segmentation, list) or not segmentation:
        raise ValueError(f"segmentation {segmentation!r:.50}, which names no pixels")
    outlines = tuple(np.array(polygon, np.float64).reshape(-1, 2) for polygon in segmentation)
    return entry["category_id"], Instance(number, -1, iscrowd, outlines, None)


def _with_class_index(pair: tuple[Any, Instance], info: DatasetInfo, path: str | Path) -> Instance:
    category_id, instance = pair
    try:
        return replace(instance, category=info.index_of_official_id[category_id])
    except (KeyError, TypeError) as error:
        raise DataError(
            f"{path}: annotation {instance.id} has category_id {category_id!r}, which is none of "
            f"its {info.num_classes} categories"
        ) from error


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
