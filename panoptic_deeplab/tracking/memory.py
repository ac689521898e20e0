"""What is remembered of the instances of earlier frames."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from panoptic_deeplab.tracking.association import assign, mask_iou
from panoptic_deeplab.tracking.instances import Instances
from panoptic_deeplab.tracking.motion import Flow


@dataclass
class Track:
    """One thing over the frames.

    Attributes:
        id: its identity, from 1.
        votes: class index -> sum of the scores with which it was seen as that class.
        pixels: of its last mask, in the flattened map.
        velocity: (y, x) pixels a frame, when it was last seen.
        shift: (y, x) pixels that it has moved since.
        age: frames since it was seen.
    """

    id: int
    votes: Counter[int] = field(default_factory=Counter)
    pixels: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int32))
    velocity: np.ndarray = field(default_factory=lambda: np.zeros(2))
    shift: np.ndarray = field(default_factory=lambda: np.zeros(2))
    age: int = 0

    @property
    def category(self) -> int:
        """The class that it was seen as most surely, of equal ones the first."""
        return max(self.votes, key=lambda category: self.votes[category])

    def move(self, flow: Flow) -> None:
        """Go on by a frame: with the pixels while it is seen, else as before."""
        if self.age == 0:
            self.velocity = flow.of_mask(self.pixels)
        self.shift = self.shift + self.velocity

    def see(self, category: int, score: float, pixels: np.ndarray) -> None:
        """Remember how it looks in this frame."""
        self.votes[category] += score
        self.pixels, self.shift, self.age = pixels, np.zeros(2), 0


class TrackMemory:
    """The tracks of the frames so far.

    Args:
        classes: those that are tracked, in the order in which they give new ids.
        iou_threshold: IoU above which an instance continues a track of its class.
        class_change_threshold: IoU above which what is left continues a track of another class;
            None: never.
        max_age: frames for which a track that is not seen is kept.
    """

    def __init__(
        self,
        classes: Sequence[int],
        iou_threshold: float,
        class_change_threshold: float | None,
        max_age: int,
    ) -> None:
        self.classes = tuple(classes)
        self.iou_threshold = iou_threshold
        self.class_change_threshold = class_change_threshold
        self.max_age = max_age
        self.reset()

    def reset(self) -> None:
        """Forget everything; ids start at 1 again."""
        self._tracks: list[Track] = []
        self._next_id = 1
        self._size: tuple[int, int] | None = None

    def update(self, instances: Instances, flow: Flow | None = None) -> list[Track]:
        """Find the track of each instance of the next frame, a new one where there is none: [N].

        Args:
            instances: of the frame.
            flow: the motion since the frame before; without it nothing is taken to have moved.

        Raises:
            DataError: there are too many instances to compare.
        """
        self._end_tracks_of_other_size(instances.size)
        if flow is not None:
            for track in self._tracks:
                track.move(flow)
        tracks = self._continued(instances)
        for track in self._tracks:
            track.age += 1
        for row, track in enumerate(tracks):
            category, score = int(instances.categories[row]), float(instances.scores[row])
            track.see(category, score, instances.pixels[row])
        self._tracks = [track for track in self._tracks if track.age <= self.max_age]
        return tracks

    def _continued(self, instances: Instances) -> list[Track]:
        """The track of each instance, as it was before this frame or new."""
        similarity = mask_iou(
            instances, [t.pixels for t in self._tracks], [t.shift for t in self._tracks]
        )
        found, left = self._matches(instances.categories, similarity)
        tracks = {row: self._tracks[column] for row, column in found.items()}
        for row in left:
            tracks[row] = Track(self._next_id)
            self._tracks.append(tracks[row])
            self._next_id += 1
        return [tracks[row] for row in range(len(instances))]

    def _matches(
        self, categories: np.ndarray, similarity: np.ndarray
    ) -> tuple[dict[int, int], list[int]]:
        """Pairs of an instance and a track, and the other instances in the order of new ids."""
        track_classes = np.array([track.category for track in self._tracks], np.int64)
        found: dict[int, int] = {}
        left: list[int] = []

        def match(rows: np.ndarray, columns: np.ndarray, threshold: float) -> list[int]:
            assignment = assign(similarity[np.ix_(rows, columns)], threshold)
            first, second = assignment.pairs.T
            found.update(zip(rows[first].tolist(), columns[second].tolist(), strict=True))
            return rows[assignment.left].tolist()

        for category in self.classes:
            rows, columns = (np.flatnonzero(c == category) for c in (categories, track_classes))
            left += match(rows, columns, self.iou_threshold)
        if self.class_change_threshold is not None:
            free = np.setdiff1d(np.arange(len(track_classes)), list(found.values()))
            left = match(np.array(left, np.int64), free, self.class_change_threshold)
        return found, left

    def _end_tracks_of_other_size(self, size: tuple[int, int]) -> None:
        """No remembered mask fits a frame of another size; ids are still not given twice."""
        if size != self._size:
            self._tracks, self._size = [], size
