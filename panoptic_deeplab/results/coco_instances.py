"""COCO instance results, as pycocotools and the COCO server read them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from panoptic_deeplab.errors import DataError
from panoptic_deeplab.formats.json_items import write_items
from panoptic_deeplab.formats.masks import encode_rle
from panoptic_deeplab.result import Result
from panoptic_deeplab.results.base import Rendered, ResultFormat
from panoptic_deeplab.results.coco import image_ids
from panoptic_deeplab.results.journal import Record
from panoptic_deeplab.structures import DatasetInfo, Prediction

_DEFAULT_SCORE = 1.0  # where a method gives none


class CocoInstances(ResultFormat):
    """`coco/instances.json`: for each instance `image_id`, `category_id`, `segmentation`, `score`.

    Instances are the method's own, which may overlap, or else the things of the panoptic map. An
    image whose file name is a number has that number as its id, as in COCO.
    """

    lists = ("coco/instances.json",)

    def __init__(self, folder: Path, info: DatasetInfo) -> None:
        super().__init__(folder, info)
        self.categories = info.to_dict()["categories"]

    def files(self, key: str) -> list[str]:
        return []

    def former_entries(self) -> None:
        """Refuse a file that no prediction with a journal wrote, as one of annotations.

        Raises:
            DataError: there is one.
        """
        path = self.folder / self.lists[0]
        if path.exists():
            raise DataError(
                f"{path}: was not written by a prediction into this folder, and is not replaced; "
                "choose another --save_dir"
            )

    def render(self, name: str, result: Result) -> Rendered:
        ids = [category.official_id for category in self.info.categories]
        entry = [
            {
                "category_id": ids[category],
                "segmentation": encode_rle(mask),
                "score": score,
            }
            for category, score, mask in _instances(result.prediction)
        ]
        return Rendered({}, entry)

    def write_lists(self, records: Mapping[str, Record]) -> None:
        numbers = image_ids(records)
        entries = (
            {"image_id": numbers[key]} | instance
            for key, record in records.items()
            for instance in record.entry
        )
        write_items(self.folder / self.lists[0], entries)


def _instances(prediction: Prediction) -> Iterator[tuple[int, float, np.ndarray]]:
    """Yield the class index, the score and the mask [H, W] bool of each instance."""
    if prediction.instances is not None:
        for instance in prediction.instances:
            yield instance.category, instance.score, instance.in_image(prediction.ids.shape)
        return
    for segment in prediction.segments:
        if segment.is_thing:
            score = _DEFAULT_SCORE if segment.score is None else segment.score
            yield segment.category, float(score), prediction.ids == segment.id
