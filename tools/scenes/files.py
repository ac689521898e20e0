"""Cityscapes' files of one scene, its labels made by cityscapesscripts from the polygons."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
from cityscapesscripts.helpers.annotation import Annotation
from cityscapesscripts.preparation.json2instanceImg import createInstanceImage
from cityscapesscripts.preparation.json2labelImg import createLabelImage
from PIL import Image

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
    cities = CITIES[job.split]
    city = cities[job.index % len(cities)]
    name = f"{city}_{job.index:06}_{FRAME:06}"
    images = root / "leftImg8bit" / job.split / city
    labels = root / "gtFine" / job.split / city
    for folder in (images, labels):
        folder.mkdir(parents=True, exist_ok=True)
    scene = make_scene(*job)
    Image.fromarray(scene.image).save(images / f"{name}_leftImg8bit.png", compress_level=3)
    write_labels(scene, labels / f"{name}_gtFine")


def write_labels(scene: Scene, stem: Path) -> None:
    """Write {stem}_polygons.json and the label images that cityscapesscripts makes from it."""
    text = json.dumps(scene.annotation)
    Path(f"{stem}_polygons.json").write_text(text, "utf-8")
    annotation = Annotation()
    annotation.fromJsonText(text)
    for kind, encoding in _ENCODINGS.items():
        createLabelImage(annotation, encoding).save(f"{stem}_{kind}.png")
    # The library saves mode "I", which Pillow gives up; 16 bit is what its files hold.
    instances = np.asarray(createInstanceImage(annotation, "ids")).astype(np.uint16)
    Image.fromarray(instances).save(f"{stem}_instanceIds.png")
