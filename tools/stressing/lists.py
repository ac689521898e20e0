"""Lists of predictions, compared with the PNGs that they name."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from panoptic_deeplab.errors import DataError


def truthful_list(path: Path) -> list[str] | None:
    """Return the names of the images that a list in COCO panoptic form has; None without it.

    Raises:
        DataError: an entry is not of its PNG.
    """
    if not path.exists():
        return None
    names = []
    for annotation, image in read_list(path):
        compare(path.with_suffix("") / annotation["file_name"], annotation, image)
        names.append(annotation["file_name"])
    return sorted(names)


def read_list(path: Path) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """Yield the annotation and the image of each entry."""
    content = json.loads(path.read_text("utf-8"))
    images = {image["id"]: image for image in content["images"]}
    for annotation in content["annotations"]:
        yield annotation, images[annotation["image_id"]]


def compare(png: Path, annotation: Mapping[str, Any], image: Mapping[str, Any]) -> None:
    """Refuse an entry that is not of this PNG."""
    from panoptic_deeplab.formats.images import read_ids
    from panoptic_deeplab.id_maps import measure_ids

    ids = read_ids(png)
    measures = measure_ids(ids)
    found = dict(zip(measures.ids.tolist(), measures.areas.tolist(), strict=True))
    found.pop(0, None)
    if ids.shape != (image["height"], image["width"]):
        raise DataError(f"{png}: is of another size than its entry says")
    if found != {segment["id"]: segment["area"] for segment in annotation["segments_info"]}:
        raise DataError(f"{png}: has other segments than its entry says")
