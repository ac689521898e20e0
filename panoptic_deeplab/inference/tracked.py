"""Results one after the other, whose things get ids that last."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from panoptic_deeplab.result import Result
from panoptic_deeplab.structures import DatasetInfo, Prediction, Segment
from panoptic_deeplab.tracking import Tracker


class ResultTracker:
    """Gives the things of results a `track_id`; images of another folder are another video's.

    Args:
        info: the classes.
    """

    def __init__(self, info: DatasetInfo) -> None:
        self._tracker = Tracker(info)
        self._folder: Path | None = None

    def __call__(self, result: Result) -> Result:
        """Continue with the next result."""
        folder = None if result.path is None else result.path.parent
        if folder != self._folder:
            self._tracker.reset()
            self._folder = folder
        return _with_prediction(result, self._tracker.update(result.prediction, result.image))


def _with_prediction(result: Result, prediction: Prediction) -> Result:
    """The result of the same image with another prediction."""
    return Result(
        result.image,
        prediction,
        result.info,
        result.path,
        result.frame_index,
        result.ground_truth,
        result.time,
    )


def with_lasting_ids(result: Result) -> Result:
    """Number the segments of a tracked result so that a segment keeps its id from frame to frame.

    With C classes, the segment of stuff class c becomes c + 1 and the thing of track t becomes
    C + t, so that programs for videos in COCO panoptic form find a thing by its id.
    """
    prediction, num_classes = result.prediction, result.info.num_classes
    ids = [_lasting_id(segment, num_classes) for segment in prediction.segments]
    table = np.zeros(int(prediction.ids.max(initial=0)) + 1, np.int32)
    table[[segment.id for segment in prediction.segments]] = ids
    segments = [replace(s, id=i) for s, i in zip(prediction.segments, ids, strict=True)]
    return _with_prediction(
        result, replace(prediction, ids=table[prediction.ids], segments=segments)
    )


def _lasting_id(segment: Segment, num_classes: int) -> int:
    if segment.track_id is None:
        return segment.category + 1
    return num_classes + segment.track_id
