"""The tracker: things keep their ids over the frames of a video."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from panoptic_deeplab.structures import DatasetInfo, Prediction
from panoptic_deeplab.tracking.instances import Instances
from panoptic_deeplab.tracking.memory import TrackMemory
from panoptic_deeplab.tracking.motion import FlowEstimator

STEP_IOU_THRESHOLD = 0.3
MAX_AGE = 10


class Tracker:
    """Gives the things of a video's frames ids that last.

    The method is that of STEP's baseline (https://arxiv.org/abs/2102.11859): instances continue
    the remembered masks with which their IoU is largest in sum. Beyond it, masks move with the
    optical flow, so that less overlap is enough; and a thing that was taken for another class for
    some frames keeps its id: the scores of all its frames vote on its class. What each step gives
    is in docs/video.md.

    Args:
        info: the classes; things are tracked.
        iou_threshold: IoU above which an instance continues a track of its class.
        class_change_threshold: IoU above which what is left continues a track of another class;
            None: never.
        max_age: frames for which a track that is not seen is kept.
        use_flow: whether the remembered masks move with the image.
    """

    def __init__(
        self,
        info: DatasetInfo,
        iou_threshold: float = 0.1,
        class_change_threshold: float | None = 0.5,
        max_age: int = MAX_AGE,
        use_flow: bool = True,
    ) -> None:
        self._memory = TrackMemory(info.thing_ids, iou_threshold, class_change_threshold, max_age)
        self._flow = FlowEstimator() if use_flow else None

    def reset(self) -> None:
        """Forget all tracks: another video begins, ids start at 1."""
        self._memory.reset()
        if self._flow is not None:
            self._flow.reset()

    def update(self, prediction: Prediction, image: np.ndarray | None = None) -> Prediction:
        """Continue with the next frame; where its size changes all tracks end and new ones begin.

        Args:
            prediction: of the frame.
            image: [H, W, 3] uint8 RGB, the frame; without it remembered masks stay where they are.

        Returns:
            The same map; its things have a `track_id` and the class of their track.

        Raises:
            DataError: there are too many instances to compare.
        """
        instances = Instances.of(prediction, self._memory.classes)
        flow = None if self._flow is None else self._flow.update(image)
        tracks = self._memory.update(instances, flow)
        track_of = dict(zip(instances.ids.tolist(), tracks, strict=True))
        segments = [
            replace(s, track_id=track_of[s.id].id, category=track_of[s.id].category)
            if s.id in track_of
            else s
            for s in prediction.segments
        ]
        return replace(prediction, segments=segments)


def track_maps(
    semantic: np.ndarray,
    instance: np.ndarray,
    classes: Sequence[int],
    iou_threshold: float = STEP_IOU_THRESHOLD,
    max_age: int = MAX_AGE,
) -> np.ndarray:
    """Track the instances of a sequence with the baseline of STEP.

    Args:
        semantic: [T, H, W] class indices.
        instance: [T, H, W] ids within a class and a frame; 0 for stuff and crowds.
        classes: those that are tracked, in the order in which they give new ids.
        iou_threshold: IoU above which an instance continues a track.
        max_age: frames for which a track that is not seen is kept.

    Returns:
        [T, H, W] int32 ids that last, from 1 through all classes; 0 where nothing is tracked.
    """
    memory = TrackMemory(classes, iou_threshold, None, max_age)
    maps = np.zeros(semantic.shape, np.int32)
    for t, (labels, ids) in enumerate(zip(semantic, instance, strict=True)):
        instances = Instances.from_maps(labels, ids, classes)
        track_ids = [track.id for track in memory.update(instances)]
        maps[t] = np.array([0, *track_ids], np.int32)[instances.index]
    return maps
