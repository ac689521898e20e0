"""A JSON in COCO panoptic form and the PNGs it describes, added to by later runs."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from panoptic_deeplab.errors import DataError, UsageError
from panoptic_deeplab.files import read_json
from panoptic_deeplab.formats.coco import segments_info, write_panoptic_json
from panoptic_deeplab.formats.images import write_ids
from panoptic_deeplab.result import Result
from panoptic_deeplab.structures import DatasetInfo, PanopticMap

Entry = dict[str, Any]


class PanopticFiles:
    """`NAME.json` beside the folder `NAME` with its PNGs, as the official tools look for them.

    Args:
        json_path: where the JSON goes.
        info: the classes, with the ids to be used in the JSON.
    """

    def __init__(self, json_path: Path, info: DatasetInfo) -> None:
        self.json_path = json_path
        self.folder = json_path.with_suffix("")
        self.info = info

    def write(self, key: str, file_name: str, prediction: PanopticMap) -> Entry:
        """Write one PNG of ids and return its entries under `image` and `annotation`."""
        write_ids(self.folder / f"{key}.png", prediction.ids)
        height, width = prediction.ids.shape
        return {
            "image": {"id": key, "file_name": file_name, "height": height, "width": width},
            "annotation": {
                "image_id": key,
                "file_name": f"{key}.png",
                "segments_info": segments_info(prediction.ids, prediction.segments, self.info),
            },
        }

    def written(self) -> dict[str, Entry]:
        """Read the entries of an earlier run whose PNGs are still there, by key.

        Raises:
            DataError: the JSON cannot be read or is no result.
            UsageError: it lists other classes.
        """
        if not self.json_path.exists():
            return {}
        content = read_json(self.json_path)
        try:
            same_classes = content["categories"] == self.info.to_dict()["categories"]
            images = {image["id"]: image for image in content["images"]}
            entries = {
                annotation["file_name"].removesuffix(".png"): {
                    "image": images[annotation["image_id"]],
                    "annotation": annotation,
                }
                for annotation in content["annotations"]
                if (self.folder / annotation["file_name"]).is_file()
            }
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise DataError(
                f"{self.json_path}: not a list that a prediction wrote ({error!r:.100}), so this "
                "prediction cannot add to it; remove it or choose another --save_dir"
            ) from error
        if entries and not same_classes:
            raise UsageError(
                f"{self.json_path}: lists results of a model with other classes; choose another "
                "--save_dir"
            )
        return entries

    def finish(self, entries: Iterable[Entry]) -> None:
        """Write the JSON of all images."""
        entries = list(entries)
        images = [entry["image"] for entry in entries]
        annotations = [entry["annotation"] for entry in entries]
        write_panoptic_json(self.json_path, images, annotations, self.info)


def listed_name(name: str, result: Result) -> str:
    """Return the image's own file name behind the folders of its result's name."""
    return (Path(name).parent / result.file_name).as_posix()
