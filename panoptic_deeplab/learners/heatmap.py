"""What `infer` returns for an image: two maps, and how they become a result again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from panoptic_deeplab.errors import DataError
from panoptic_deeplab.id_maps import measure_ids
from panoptic_deeplab.result import Result
from panoptic_deeplab.structures import (
    VOID_ID,
    DatasetInfo,
    Prediction,
    Segment,
    smallest_label_type,
)


class Heatmap:
    """A map of labels, as `opendr.engine.target.Heatmap`.

    Args:
        data: [H, W] whole numbers.
        class_names: value -> name of its class.
        result: the whole prediction that the map was taken from.

    Raises:
        TypeError: the data is no array.
    """

    def __init__(
        self,
        data: np.ndarray,
        class_names: Mapping[int, str] | None = None,
        result: Result | None = None,
    ) -> None:
        if not isinstance(data, np.ndarray):
            raise TypeError("Data must be a numpy array.")
        self.data = data
        self.class_names = None if class_names is None else dict(class_names)
        self.result = result

    def numpy(self) -> np.ndarray:
        """Return the map."""
        return self.data

    @property
    def shape(self) -> tuple[int, ...]:
        """Height and width."""
        return self.data.shape

    def __repr__(self) -> str:
        return f"Heatmap({'x'.join(map(str, self.shape))}, {self.data.dtype})"


class Heatmaps(NamedTuple):
    """The prediction of one image, a pair as OpenDR returns it.

    Attributes:
        instance: ids of segments, 0 for void; uint8, or int32 where there are more than 255.
        semantic: class indices of the same segments, 255 for void.
    """

    instance: Heatmap
    semantic: Heatmap

    def to_result(self) -> Result:
        """Return the prediction as `load_model` gives it, with scores and areas of segments."""
        return self.instance.result


def heatmaps_of(result: Result) -> Heatmaps:
    """Make the two maps of a result."""
    info = result.info
    ids = result.ids.astype(smallest_label_type(int(result.ids.max(initial=VOID_ID)), VOID_ID))
    semantic = result.prediction.semantic(info.ignore_index)
    class_names = {index: category.name for index, category in enumerate(info.categories)}
    segment_names = {segment.id: segment.label for segment in result}
    return Heatmaps(Heatmap(ids, segment_names, result), Heatmap(semantic, class_names, result))


def raw_of(result: Result) -> list[Any]:
    """Make what the authors' network returns: [ids [H, W], class index by id, about the image].

    Ids without a segment, such as 0, are of class 255.
    """
    prediction = result.prediction
    categories = np.full(int(result.ids.max(initial=VOID_ID)) + 1, result.info.ignore_index)
    for segment in prediction.segments:
        categories[segment.id] = segment.category
    size = (*result.ids.shape, 3)
    return [
        result.ids,
        categories,
        {"filename": result.path and str(result.path), "ori_shape": size},
    ]


def result_of(image: np.ndarray, pair: tuple[Any, Any], info: DatasetInfo) -> Result:
    """Make a result of an image [H, W, 3] RGB and two maps, ours or OpenDR's.

    A segment has the class that most of its pixels have. OpenDR counts segments from 0, which then
    is void in the semantic map.

    Raises:
        DataError: the maps are not of the image's size.
    """
    ids, semantic = (np.asarray(part.data).astype(np.int32) for part in pair)
    if not ids.shape == semantic.shape == image.shape[:2]:
        raise DataError(
            f"expected two maps {list(image.shape[:2])} as the image, got {list(ids.shape)} and "
            f"{list(semantic.shape)}"
        )
    ids = np.where((semantic >= 0) & (semantic < info.num_classes), ids + 1, VOID_ID)
    measures = measure_ids(ids)
    segments = []
    for number, area in zip(measures.ids.tolist(), measures.areas.tolist(), strict=True):
        if number != VOID_ID:
            category = int(np.bincount(semantic[ids == number]).argmax())
            is_thing = info.categories[category].is_thing
            segments.append(Segment(number, category, area=area, is_thing=is_thing))
    return Result(image, Prediction(ids, segments), info)
