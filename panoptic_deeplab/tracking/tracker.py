"""The tracker: instances keep their ids over the frames of a video."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from panoptic_deeplab.errors import DataError
from panoptic_deeplab.structures import DatasetInfo, Prediction
from panoptic_deeplab.tracking.association import assign, mask_iou
from panoptic_deeplab.tracking.instances import Instances

IOU_THRESHOLD = 0.3
MEMORY = 10


@dataclass
class _Track:
    """What is remembered of an instance.

    Attributes:
        id: its identity, from 1.
        category: class index.
        pixels: of its last mask, in the flattened map.
        age: frames since it was seen.
    """

    id: int
    category: int
    pixels: np.ndarray
    age: int = 0


class Tracker:
    """Gives the things of a video's frames ids that last.

    The baseline of STEP (https://arxiv.org/abs/2102.11859): in each class, instances are assigned
    to the remembered masks by their IoU.

    Args:
        info: the classes; things are tracked.
        iou_threshold: IoU above which an instance continues a track.
        memory: frames for which a track that is not seen is kept.
    """

    def __init__(
        self, info: DatasetInfo, iou_threshold: float = IOU_THRESHOLD, memory: int = MEMORY
    ) -> None:
        self._memory = TrackMemory(info.thing_ids, iou_threshold, memory)

    def reset(self) -> None:
        """Forget all tracks: another video begins, ids start at 1."""
        self._memory.reset()

    def update(self, prediction: Prediction, image: np.ndarray | None = None) -> Prediction:
        """Continue with the next frame.

        Args:
            prediction: of the frame.
            image: [H, W, 3] uint8 RGB, the frame.

        Returns:
            The same map; its things have a `track_id`.

        Raises:
            DataError: the frame has another size than those before.
        """
        instances = Instances.of(prediction, self._memory.classes)
        tracks = self._memory.update(instances)
        track_of = dict(zip(instances.ids.tolist(), tracks.tolist(), strict=True))
        segments = [replace(s, track_id=track_of.get(s.id)) for s in prediction.segments]
        return replace(prediction, segments=segments)


def track_maps(
    semantic: np.ndarray,
    instance: np.ndarray,
    classes: Sequence[int],
    iou_threshold: float = IOU_THRESHOLD,
    memory: int = MEMORY,
) -> np.ndarray:
    """Track the instances of a sequence with the baseline of STEP.

    Args:
        semantic: [T, H, W] class indices.
        instance: [T, H, W] ids within a class and a frame; 0 for stuff and crowds.
        classes: those that are tracked, in the order in which they give new ids.
        iou_threshold: IoU above which an instance continues a track.
        memory: frames for which a track that is not seen is kept.

    Returns:
        [T, H, W] int32 ids that last, from 1 through all classes; 0 where nothing is tracked.
    """
    tracks = TrackMemory(classes, iou_threshold, memory)
    maps = np.zeros(semantic.shape, np.int32)
    for t, (labels, ids) in enumerate(zip(semantic, instance, strict=True)):
        instances = Instances.from_maps(labels, ids, classes)
        maps[t] = np.append(0, tracks.update(instances))[instances.index]
    return maps


class TrackMemory:
    """The tracks of the frames so far.

    Args:
        classes: those that are tracked, in the order in which they give new ids.
        iou_threshold: IoU above which an instance continues a track.
        memory: frames for which a track that is not seen is kept.
    """

    def __init__(self, classes: Sequence[int], iou_threshold: float, memory: int) -> None:
        self.classes = tuple(classes)
        self.iou_threshold, self.memory = iou_threshold, memory
        self.reset()

    def reset(self) -> None:
        """Forget everything; ids start at 1 again."""
        self._tracks: list[_Track] = []
        self._next_id = 1
        self._size: tuple[int, int] | None = None

    def update(self, instances: Instances) -> np.ndarray:
        """Find the track of each instance of the next frame, a new one where there is none: [N].

        Raises:
            DataError: the frame has another size than those before.
        """
        self._check_size(instances.size)
        ids = np.zeros(len(instances), np.int64)
        similarity = mask_iou(instances, [track.pixels for track in self._tracks])
        track_classes = np.array([track.category for track in self._tracks], np.int64)
        for track in self._tracks:
            track.age += 1
        for category in self.classes:
            rows = np.flatnonzero(instances.categories == category)
            columns = np.flatnonzero(track_classes == category)
            assignment = assign(similarity[np.ix_(rows, columns)], self.iou_threshold)
            for i, k in assignment.pairs:
                row, track = rows[i], self._tracks[columns[k]]
                ids[row], track.pixels, track.age = track.id, instances.pixels[row], 0
            for row in rows[assignment.new]:
                ids[row] = self._add(category, instances.pixels[row])
        self._tracks = [track for track in self._tracks if track.age <= self.memory]
        return ids

    def _add(self, category: int, pixels: np.ndarray) -> int:
        track = _Track(self._next_id, category, pixels)
        self._tracks.append(track)
        self._next_id += 1
        return track.id

    def _check_size(self, size: tuple[int, int]) -> None:
        if self._size not in (None, size):
            raise DataError(
                f"the frame is {size[0]}x{size[1]}, those before {self._size[0]}x{self._size[1]} "
                "(height x width); resize the frames, or call reset() where another video begins"
            )
        self._size = size
