"""The prediction of one image together with its origin, as writers and other tools take it."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from PIL import Image

from panoptic_deeplab.errors import DataError, UsageError
from panoptic_deeplab.files import read_json, usable_folder, write_json
from panoptic_deeplab.formats.coco import bounding_boxes, segments_info
from panoptic_deeplab.formats.images import ids_to_rgb, write_image
from panoptic_deeplab.structures import DatasetInfo, PanopticMap, Prediction, Segment
from panoptic_deeplab.text_table import align
from panoptic_deeplab.visualization import draw_panoptic

if TYPE_CHECKING:
    import supervision

OVERLAY_ENDING = "_overlay"
_UNTRACKED = -1  # as supervision marks detections without a track


@dataclass(frozen=True)
class ResultSegment:
    """One segment of a result.

    Attributes:
        id: its value in the result's id map.
        label: name of its class.
        category: index of its class.
        score: confidence in 0..1; None where the method gives none.
        area: pixels.
        box: (x0, y0, x1, y1) in pixels, end exclusive.
        is_thing: whether its class has instances.
        track_id: its identity over the frames of a video; None without tracking and for stuff.
    """

    id: int
    label: str
    category: int
    score: float | None
    area: int
    box: tuple[int, int, int, int]
    is_thing: bool
    track_id: int | None = None
    _ids: np.ndarray = field(repr=False, compare=False, kw_only=True)

    @property
    def mask(self) -> np.ndarray:
        """[H, W] bool; a new array at each access."""
        return self._ids == self.id


class CocoResult(NamedTuple):
    """A prediction in COCO panoptic form.

    Attributes:
        png: [H, W, 3] uint8 RGB, id = R + 256 G + 65536 B, to be saved as `file_name`.
        annotation: `image_id`, `file_name` and `segments_info`, ready for JSON.
    """

    png: np.ndarray
    annotation: dict[str, Any]


class Result:
    """The prediction of one image; iterate over it for its segments.

    Args:
        image: [H, W, 3] uint8 RGB.
        prediction: of that image, in its own pixels.
        info: the model's classes.
        path: the image's file, None for an image from memory.
        frame_index: its place in a video, None for a single image.
        ground_truth: its annotation, of the image's size, for forms that show it beside.
        time: seconds since the first frame of its video, None for a single image.

    Attributes:
        ids: [H, W] int32, 0 void, else the id of a segment.
    """

    def __init__(
        self,
        image: np.ndarray,
        prediction: Prediction,
        info: DatasetInfo,
        path: str | Path | None = None,
        frame_index: int | None = None,
        ground_truth: PanopticMap | None = None,
        time: float | None = None,
    ) -> None:
        self.image = image
        self.prediction = prediction
        self.info = info
        self.path = None if path is None else Path(path)
        self.frame_index = frame_index
        self.ground_truth = ground_truth
        self.time = time

    @property
    def ids(self) -> np.ndarray:
        return self.prediction.ids

    @property
    def semantic(self) -> np.ndarray:
        """[H, W] class indices of the semantic branch, of the fused map where there is none."""
        if self.prediction.labels is not None:
            return self.prediction.labels
        return self.prediction.semantic(self.info.ignore_index)

    @property
    def name(self) -> str:
        """Name of this result's files: the image file's stem and, for a frame, its number."""
        path = self.path or Path("image")
        return path.stem if self.frame_index is None else frame_name(path, self.frame_index)

    @property
    def file_name(self) -> str:
        """Name of the image's file; `NAME.png` for a frame and for an image from memory."""
        is_file = self.path is not None and self.frame_index is None
        return self.path.name if is_file else f"{self.name}.png"

    @cached_property
    def segments(self) -> list[ResultSegment]:
        boxes = bounding_boxes(self.ids)
        return [self._segment(segment, boxes[segment.id]) for segment in self.prediction.segments]

    def _segment(self, segment: Segment, box: tuple[int, int, int, int]) -> ResultSegment:
        top, left, bottom, right = box
        category = self.info.categories[segment.category]
        return ResultSegment(
            segment.id,
            category.name,
            segment.category,
            segment.score,
            int(segment.area),
            (left, top, right, bottom),
            category.is_thing,
            segment.track_id,
            _ids=self.ids,
        )

    def __iter__(self) -> Iterator[ResultSegment]:
        return iter(self.segments)

    def __len__(self) -> int:
        return len(self.prediction.segments)

    def __repr__(self) -> str:
        height, width = self.ids.shape
        where = self.name if self.path is None else self.path
        return f"Result({where}, {height}x{width}, {len(self)} segments)"

    def __str__(self) -> str:
        """A table of the segments, with their tracks where there are any."""
        is_tracked = any(s.track_id is not None for s in self)
        rows = [("class", "id", *["track"] * is_tracked, "score", "area", "box (x0, y0, x1, y1)")]
        rows += [
            (
                s.label,
                str(s.id),
                *["" if s.track_id is None else str(s.track_id)] * is_tracked,
                "" if s.score is None else f"{s.score:.3f}",
                str(s.area),
                ", ".join(map(str, s.box)),
            )
            for s in self
        ]
        return f"{self!r}\n{align(rows)}"

    def print(self) -> None:
        """Print a table of the segments."""
        print(self)

    def plot(self) -> np.ndarray:
        """[H', W', 3] uint8 RGB: the image under colors, outlines, names and a legend."""
        return draw_panoptic(self.image, self.prediction, self.info)

    def _repr_png_(self) -> bytes:
        """The overlay as notebooks show it."""
        content = io.BytesIO()
        Image.fromarray(self.plot()).save(content, "PNG")
        return content.getvalue()

    def save_to_img(self, folder: str | Path) -> Path:
        """Write the overlay as `NAME_overlay.png` and return its path.

        Raises:
            DataError: the folder cannot be made or written to.
        """
        path = usable_folder(folder) / f"{self.name}{OVERLAY_ENDING}.png"
        write_image(path, self.plot())
        return path

    def save_to_json(self, folder: str | Path) -> Path:
        """Write size and segments as `NAME.json` and return its path.

        The segments' `category_id` and `bbox` (x, y, width, height) are COCO's.

        Raises:
            DataError: the folder cannot be made or written to, or a file of that name is none that
                this wrote, such as an annotation.
        """
        path = usable_folder(folder) / f"{self.name}.json"
        _refuse_foreign(path)
        height, width = self.ids.shape
        entries = segments_info(self.ids, self.prediction.segments, self.info)
        content = {
            "image": None if self.path is None else str(self.path),
            "frame_index": self.frame_index,
            "time": self.time,
            "height": height,
            "width": width,
            "segments": [
                {"label": segment.label, "track_id": segment.track_id} | entry
                for segment, entry in zip(self, entries, strict=True)
            ],
        }
        write_json(path, content, indent=2)
        return path

    def to_coco(self) -> CocoResult:
        """The prediction in COCO panoptic form: an id map as RGB, and its annotation."""
        entries = segments_info(self.ids, self.prediction.segments, self.info)
        annotation = {
            "image_id": self.name,
            "file_name": f"{self.name}.png",
            "segments_info": entries,
        }
        return CocoResult(ids_to_rgb(self.ids), annotation)

    def to_supervision(self) -> supervision.Detections:
        """All segments as the `Detections` of https://supervision.roboflow.com.

        `class_id` is the class index; `data["class_name"]` names it. Where there are tracks,
        `tracker_id` is -1 for segments without one, such as stuff.

        Raises:
            UsageError: supervision is not installed.
        """
        try:
            import supervision
        except ImportError as error:
            raise UsageError(
                "to_supervision needs supervision; pip install 'panoptic-deeplab[supervision]'"
            ) from error
        if not len(self):
            return supervision.Detections.empty()
        scores = [s.score for s in self]
        tracks = [_UNTRACKED if s.track_id is None else s.track_id for s in self]
        return supervision.Detections(
            xyxy=np.array([s.box for s in self], np.float32),
            mask=np.stack([s.mask for s in self]),
            confidence=None if None in scores else np.array(scores, np.float32),
            class_id=np.array([s.category for s in self]),
            tracker_id=np.array(tracks) if any(t != _UNTRACKED for t in tracks) else None,
            data={"class_name": np.array([s.label for s in self])},
        )


def frame_name(path: Path, index: int) -> str:
    """Name of the results of a frame of the video `path`, such as `drive_000012`."""
    return f"{path.stem}_{index:06d}"


def _refuse_foreign(path: Path) -> None:
    """Refuse to replace a JSON that `save_to_json` did not write."""
    if not path.exists():
        return
    with suppress(DataError):
        content = read_json(path)
        if isinstance(content, dict) and {"frame_index", "segments"} <= content.keys():
            return
    raise DataError(f"{path}: is no result, and is not replaced; choose another folder")
