"""Cityscapes and KITTI into the folders that OpenDR's learner trains and evaluates on.

    OUT/{train,val}/images/*.png
    OUT/{train,val}/stuffthingmaps/*.png    train ids, 255 void
    OUT/{train,val}/annotations.json        COCO instances, category ids are train ids
    OUT/{train,val}/panoptic_gt/*.png       instance ids as RGB, where a split is to be evaluated
    OUT/{train,val}/panoptic_gt.json        COCO panoptic, category ids are label ids

As https://github.com/opendr-eu/opendr, perception/panoptic_segmentation/datasets, lays them out.
Masks are RLE, which holds every pixel, where OpenDR writes polygons with a tolerance of two.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from panoptic_deeplab.convert.run import AnnotatedImage, Source
from panoptic_deeplab.convert.sources import open_cityscapes, open_kitti
from panoptic_deeplab.errors import DataError
from panoptic_deeplab.files import replacing_folder, why_missing, write_json
from panoptic_deeplab.formats.annotations import measured
from panoptic_deeplab.formats.cityscapes import CITYSCAPES, WITH_LABEL_IDS
from panoptic_deeplab.formats.coco import segments_info, write_panoptic_json
from panoptic_deeplab.formats.images import write_ids, write_image
from panoptic_deeplab.formats.kitti import IMAGE_SIZE
from panoptic_deeplab.formats.masks import encode_rle
from panoptic_deeplab.parallel import ending_on_sigterm, read_ahead
from panoptic_deeplab.progress import progress_bar
from panoptic_deeplab.structures import PanopticMap


@dataclass(frozen=True)
class Split:
    """One split of a data set as downloaded.

    Attributes:
        name: of the folder to write.
        source: its annotations.
        image_folder: what the file names of `source` lie below.
        map_ending: of the panoptic maps' names.
        size: (height, width) that the annotations are resized to; None for theirs.
    """

    name: str
    source: Source
    image_folder: Path
    map_ending: str = ""
    size: tuple[int, int] | None = None


def cityscapes_splits(root: Path) -> list[Split]:
    """Return the splits of Cityscapes, by leftImg8bit and gtFine below `root`.

    Raises:
        DataError: a split has no annotations, or the classes are one's own.
    """
    splits = [
        Split(name, open_cityscapes(root, name), root / "leftImg8bit" / name, "_gtFine_panoptic")
        for name in ("train", "val")
    ]
    if any(split.source.info is not CITYSCAPES for split in splits):
        raise DataError(f"{root}: expected Cityscapes' classes, got those of label_colors.txt")
    return splits


def kitti_splits(root: Path) -> list[Split]:
    """Return the splits of KITTI panoptic, by training and validation below `root`.

    Raises:
        DataError: a split has no annotations.
    """
    return [
        Split(name, open_kitti(root, folder), root / folder / "images", size=IMAGE_SIZE)
        for name, folder in (("train", "training"), ("val", "validation"))
    ]


def prepare_opendr(
    splits: Sequence[Split], output: Path, evaluated: Iterable[str], num_workers: int
) -> None:
    """Write all splits; on failure nothing of them appears.

    Args:
        splits: what to write.
        output: the folder to make.
        evaluated: names of the splits that get panoptic ground truth too.
        num_workers: threads, not processes, which a script can only start behind
            `if __name__ == "__main__"`; files are decoded and compressed in parallel even so.

    Raises:
        DataError: an annotation is broken or an image is missing.
    """
    with ending_on_sigterm(), replacing_folder(output) as draft:
        for split in splits:
            _write_split(split, draft / split.name, split.name in evaluated, num_workers)


class _Entries(NamedTuple):
    """What the JSONs say of an image.

    Attributes:
        size: height and width.
        instances: entries of annotations.json without ids.
        segments: entries of panoptic_gt.json.
    """

    size: dict[str, int]
    instances: list[dict[str, Any]]
    segments: list[dict[str, Any]]


def _write_split(split: Split, folder: Path, is_evaluated: bool, num_workers: int) -> None:
    names = ["images", "stuffthingmaps", *["panoptic_gt"] * is_evaluated]
    for name in names:
        (folder / name).mkdir(parents=True)
    images = split.source.images
    convert = partial(_convert_one, split, folder, is_evaluated)
    with progress_bar(
        read_ahead(convert, images, num_workers),
        title=f"Converting {split.name}",
        total=len(images),
        unit="images",
    ) as converted:
        entries = list(converted)
    stems = [image.image_id for image in images]
    write_json(folder / "annotations.json", _instances_json(stems, entries), indent=4)
    if is_evaluated:
        write_panoptic_json(
            folder / "panoptic_gt.json",
            [
                {"id": stem, "file_name": f"{stem}.png", **entry.size}
                for stem, entry in zip(stems, entries, strict=True)
            ],
            [
                {
                    "image_id": stem,
                    "file_name": f"{stem}{split.map_ending}.png",
                    "segments_info": entry.segments,
                }
                for stem, entry in zip(stems, entries, strict=True)
            ],
            WITH_LABEL_IDS,
        )


def _convert_one(split: Split, folder: Path, is_evaluated: bool, image: AnnotatedImage) -> _Entries:
    panoptic = _resized(split.source.read(image), split.size)
    name = f"{image.image_id}.png"
    _copy(split.image_folder / image.file_name, folder / "images" / name, image)
    write_image(folder / "stuffthingmaps" / name, panoptic.semantic(CITYSCAPES.ignore_index))
    if is_evaluated:
        write_ids(folder / "panoptic_gt" / f"{image.image_id}{split.map_ending}.png", panoptic.ids)
    height, width = panoptic.ids.shape
    return _Entries(
        {"height": height, "width": width},
        _instances(panoptic),
        segments_info(panoptic.ids, panoptic.segments, WITH_LABEL_IDS),
    )


def _resized(panoptic: PanopticMap, size: tuple[int, int] | None) -> PanopticMap:
    """Resize a map by nearest neighbor."""
    if size is None:
        return panoptic
    ids = cv2.resize(panoptic.ids, size[::-1], interpolation=cv2.INTER_NEAREST)
    return measured(ids, panoptic.segments)


def _copy(source: Path, target: Path, image: AnnotatedImage) -> None:
    if not source.is_file():
        raise DataError(
            f"{source}: {why_missing(source)}; {image.content} annotates it", kind="missing file"
        )
    shutil.copyfile(source, target)


def _instances(panoptic: PanopticMap) -> list[dict[str, Any]]:
    """The things as entries of COCO instances, by train id."""
    things = [s for s in panoptic.segments if CITYSCAPES.categories[s.category].is_thing]
    by_columns = np.asfortranarray(panoptic.ids)  # as RLE runs: once, not for each mask
    return [
        {
            "category_id": segment.category,
            "iscrowd": int(segment.iscrowd),
            "area": entry["area"],
            "bbox": entry["bbox"],
            "segmentation": encode_rle(by_columns == segment.id),
        }
        for segment, entry in zip(
            things, segments_info(panoptic.ids, things, CITYSCAPES), strict=True
        )
    ]


def _instances_json(stems: Sequence[str], entries: Sequence[_Entries]) -> dict[str, Any]:
    numbers = count(1)
    return {
        "info": {"version": "1.0"},
        "images": [
            {"id": place, "file_name": f"{stem}.png", **entry.size}
            for place, (stem, entry) in enumerate(zip(stems, entries, strict=True), 1)
        ],
        "categories": [
            {"id": index, "name": CITYSCAPES.categories[index].name}
            for index in CITYSCAPES.thing_ids
        ],
        "annotations": [
            {"id": next(numbers), "image_id": place, **instance, **entry.size}
            for place, entry in enumerate(entries, 1)
            for instance in entry.instances
        ],
    }
