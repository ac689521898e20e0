"""Cityscapes' files of scenes, their labels made by cityscapesscripts from the polygons.

Sequences are also written as KITTI-STEP has them: there only people and cars have ids.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from cityscapesscripts.helpers.annotation import Annotation
from cityscapesscripts.helpers.labels import id2label, name2label
from cityscapesscripts.preparation.json2instanceImg import createInstanceImage
from cityscapesscripts.preparation.json2labelImg import createLabelImage
from PIL import Image

from panoptic_deeplab.formats.cityscapes import panoptic_of_instance_ids
from panoptic_deeplab.formats.kitti_step import KITTI_STEP, encode_step_map
from panoptic_deeplab.structures import PanopticMap
from scenes.drive import make_sequence
from scenes.scene import Scene, make_scene

CITIES = {
    "train": ("ahornstadt", "buchental", "eichfurt", "fichtenau"),
    "val": ("lindenbach", "ulmenhof"),
}
"""Made-up towns; as in Cityscapes, no town is in two splits."""

FRAME = 19
"""Frame number in all file names: Cityscapes annotates the 20th frame of each snippet."""

_ENCODINGS = {"labelIds": "ids", "labelTrainIds": "trainIds", "color": "color"}


class Job(NamedTuple):
    """Which scene to make; the fields are those of `make_scene`."""

    seed: int
    split: str
    index: int
    height: int
    width: int


def write_scene(job: Job, root: Path) -> None:
    """Make a scene and write its image and `gtFine` files below `root`."""
    _write_frame(make_scene(*job), job, FRAME, root)


def write_sequence(job: Job, root: Path, frames: int) -> None:
    """Make a sequence and write it below `root`, in Cityscapes' layout and in KITTI-STEP's."""
    place = Path(job.split, f"{job.index:04}")
    images, maps = root / "images" / place, root / "panoptic_maps" / place
    for folder in (images, maps):
        folder.mkdir(parents=True, exist_ok=True)
    for frame, scene in enumerate(make_sequence(*job, frames)):
        image, instance_ids = _write_frame(scene, job, frame, root)
        shutil.copyfile(image, images / f"{frame:06}.png")
        (maps / f"{frame:06}.png").write_bytes(step_png(instance_ids))


def _write_frame(scene: Scene, job: Job, frame: int, root: Path) -> tuple[Path, np.ndarray]:
    """Write image and labels; return the image's path and the instance ids [H, W]."""
    cities = CITIES[job.split]
    city = cities[job.index % len(cities)]
    name = f"{city}_{job.index:06}_{frame:06}"
    images = root / "leftImg8bit" / job.split / city
    labels = root / "gtFine" / job.split / city
    for folder in (images, labels):
        folder.mkdir(parents=True, exist_ok=True)
    image = images / f"{name}_leftImg8bit.png"
    Image.fromarray(scene.image).save(image, compress_level=3)
    return image, write_labels(scene, labels / f"{name}_gtFine")


def write_labels(scene: Scene, stem: Path) -> np.ndarray:
    """Write {stem}_polygons.json and the label images that cityscapesscripts makes from it.

    Where objects have an `id` it becomes the number of the instance: class * 1000 + id.

    Returns:
        [H, W] uint16, the content of {stem}_instanceIds.png.
    """
    text = json.dumps(scene.annotation)
    Path(f"{stem}_polygons.json").write_text(text, "utf-8")
    annotation = Annotation()
    annotation.fromJsonText(text)
    for kind, encoding in _ENCODINGS.items():
        createLabelImage(annotation, encoding).save(f"{stem}_{kind}.png")
    # The library saves mode "I", which Pillow gives up; 16 bit is what its files hold.
    counted = np.asarray(createInstanceImage(annotation, "ids"))
    instances = _lasting(counted, scene.annotation["objects"]).astype(np.uint16)
    Image.fromarray(instances).save(f"{stem}_instanceIds.png")
    return instances


def _lasting(counted: np.ndarray, objects: list[dict[str, Any]]) -> np.ndarray:
    """Put the objects' own ids in place of their counts within the image, which the library takes.

    Args:
        counted: [H, W] class * 1000 + count.
        objects: of the annotation; those without an `id` keep their count.
    """
    table = np.arange(1000 * (max(id2label) + 1))
    counts: Counter[str] = Counter()
    for item in objects:
        label = item["label"]
        if label in name2label and name2label[label].hasInstances:
            first, count = 1000 * name2label[label].id, counts[label]
            table[first + count] = first + item.get("id", count)
            counts[label] += 1
    return table[counted]


def step_png(instance_ids: np.ndarray) -> bytes:
    """KITTI-STEP's PNG of Cityscapes' instance ids [H, W]; ids are n + 1, of people and cars."""
    panoptic = panoptic_of_instance_ids(instance_ids, "scene")
    segments = [replace(s, track_id=s.id % 1000 + 1) for s in panoptic.segments]
    return encode_step_map(PanopticMap(panoptic.ids, segments), KITTI_STEP)
