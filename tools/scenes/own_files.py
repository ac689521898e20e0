"""Scenes as one's own data, for configs/own_data.yml: JPEGs and COCO panoptic annotations.

The class of an object in a scene is the category of its label's name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from panoptic_deeplab.formats.coco import segments_info, write_panoptic_json
from panoptic_deeplab.formats.images import write_ids, write_image
from panoptic_deeplab.structures import DatasetInfo, PanopticMap, Segment
from scenes.files import Job
from scenes.painting import fill
from scenes.scene import Scene

Entries = tuple[dict[str, Any], dict[str, Any]]
"""Of one image: in `images` and in `annotations` of the JSON."""


def write_own_scene(scene: Scene, job: Job, info: DatasetInfo, root: Path) -> Entries:
    """Write an image below `root`/images and its PNG below `root`/annotations."""
    images, annotations = root / "images" / job.split, _annotations(root, job.split)
    for folder in (images, annotations):
        folder.mkdir(parents=True, exist_ok=True)
    panoptic = panoptic_of(scene.annotation, info)
    name = f"{job.split}_{job.index:04}"
    write_image(images / f"{name}.jpg", scene.image)
    write_ids(annotations / f"{name}.png", panoptic.ids)
    image = {"id": name, "file_name": f"{name}.jpg", "height": job.height, "width": job.width}
    segments = segments_info(panoptic.ids, panoptic.segments, info)
    return image, {"image_id": name, "file_name": f"{name}.png", "segments_info": segments}


def write_own_json(entries: Iterable[Entries], split: str, info: DatasetInfo, root: Path) -> None:
    """Write annotations/panoptic_SPLIT.json below `root`."""
    images, annotations = zip(*entries, strict=True)
    write_panoptic_json(_annotations(root, split).with_suffix(".json"), images, annotations, info)


def _annotations(root: Path, split: str) -> Path:
    return root / "annotations" / f"panoptic_{split}"


def panoptic_of(annotation: Mapping[str, Any], info: DatasetInfo) -> PanopticMap:
    """Fill the polygons of a scene in order: a thing is one polygon, stuff all of its label."""
    owners = Image.new("I", (annotation["imgWidth"], annotation["imgHeight"]))
    segments = {}
    for number, entry in enumerate(annotation["objects"]):
        category = info.index_of_name[entry["label"]]
        is_thing = info.categories[category].is_thing
        id = 1 + (info.num_classes + number if is_thing else category)
        segments[id] = Segment(id, category, area=None)
        fill(owners, [[tuple(point) for point in entry["polygon"]]], id)
    ids = np.array(owners, np.int32)
    return PanopticMap(ids, [segments[id] for id in np.unique(ids).tolist() if id])
