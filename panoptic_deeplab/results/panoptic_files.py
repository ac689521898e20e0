"""A JSON in COCO panoptic form and the PNGs it describes, added to by later runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from panoptic_deeplab.errors import DataError, UsageError
from panoptic_deeplab.files import read_json
from panoptic_deeplab.formats.coco import segments_info, write_panoptic_json
from panoptic_deeplab.formats.images import encode_ids
from panoptic_deeplab.result import Result
from panoptic_deeplab.results.base import not_a_prediction
from panoptic_deeplab.results.journal import Record
from panoptic_deeplab.structures import DatasetInfo, PanopticMap

Entry = dict[str, Any]


class PanopticFiles:
    """`NAME.json` beside the folder `NAME` with its PNGs, as the official tools look for them.

    Args:
        folder: the folder of all results.
        name: path of both below that folder.
        info: the classes, with the ids to be used in the JSON.

    Attributes:
        lists: the JSON's path below the folder of results.
        categories: as the JSON has them.
    """

    def __init__(self, folder: Path, name: str, info: DatasetInfo) -> None:
        self.lists = (f"{name}.json",)
        self.categories = info.to_dict()["categories"]
        self._name = name
        self._json_path = folder / self.lists[0]
        self._info = info

    def png(self, key: str) -> str:
        """Return the path of an image's PNG below the folder of results."""
        return f"{self._name}/{key}.png"

    def render(self, key: str, file_name: str, prediction: PanopticMap) -> tuple[bytes, Entry]:
        """Make one PNG of ids, and its entries under `image` and `annotation`."""
        height, width = prediction.ids.shape
        entry = {
            "image": {"id": key, "file_name": file_name, "height": height, "width": width},
            "annotation": {
                "image_id": key,
                "file_name": f"{key}.png",
                "segments_info": segments_info(prediction.ids, prediction.segments, self._info),
            },
        }
        return encode_ids(prediction.ids), entry

    def former_entries(self) -> dict[str, Entry] | None:
        """Read what a version that kept no journal listed, by key; None where there is no JSON.

        Raises:
            DataError: the JSON cannot be read or is no list of predictions.
            UsageError: it lists other classes.
        """
        if not self._json_path.exists():
            return None
        content = read_json(self._json_path)
        try:
            same_classes = content["categories"] == self.categories
            images = {image["id"]: image for image in content["images"]}
            entries = {
                annotation["file_name"].removesuffix(".png"): {
                    "image": images[annotation["image_id"]],
                    "annotation": annotation,
                }
                for annotation in content["annotations"]
            }
            segments = [s for e in entries.values() for s in e["annotation"]["segments_info"]]
            are_results = all("score" in segment for segment in segments)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise DataError(
                f"{self._json_path}: not a list that a prediction wrote ({error!r:.100}), so this "
                "prediction cannot add to it; remove it or choose another --save_dir"
            ) from error
        if not are_results:
            raise not_a_prediction(self._json_path)
        if entries and not same_classes:
            raise UsageError(
                f"{self._json_path}: lists results of a model with other classes; choose another "
                "--save_dir"
            )
        return entries

    def write_list(
        self, records: Mapping[str, Record], ids: Mapping[str, int | str] | None = None
    ) -> None:
        """Write the JSON of all images, whose entries are never all in memory.

        Args:
            records: by key, in order.
            ids: of the images by key, in place of their own.
        """

        def part(name: str, id_name: str) -> Iterator[Entry]:
            for key, record in records.items():
                yield record.entry[name] | ({} if ids is None else {id_name: ids[key]})

        images, annotations = part("image", "id"), part("annotation", "image_id")
        write_panoptic_json(self._json_path, images, annotations, self._info)


def listed_name(name: str, result: Result) -> str:
    """Return the image's own file name behind the folders of its result's name."""
    return (Path(name).parent / result.file_name).as_posix()
