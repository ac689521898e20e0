"""The postprocessor of SOLOv2: instances in original pixels, and a map of those on top."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import paddle
import paddle.nn.functional as F

from panoptic_deeplab.errors import UsageError
from panoptic_deeplab.fusion.score_order import Occupancy, by_score
from panoptic_deeplab.postprocess.solo_outputs import (
    Outputs,
    SoloOutputs,
    by_image,
    likeliest_mask,
    merge_instances_of_views,
)
from panoptic_deeplab.registry import POSTPROCESSORS
from panoptic_deeplab.resample import resize_map
from panoptic_deeplab.structures import VOID_ID, Frame, Instance, Prediction, Segment
from panoptic_deeplab.views import View

_MASKS_AT_ONCE = 8


@POSTPROCESSORS.add_component
class SoloInstances:
    """Resizes the masks as mmdetection does; the map has no stuff.

    A mask's probabilities are resized to the network's input, cut to the image, resized to its own
    size, and exceed one half on the instance's pixels.

    Args:
        overlap_threshold: fraction of its mask that an instance may lose to higher-scoring ones and
            still be in the map.
        score_threshold: score that an instance must reach to be in the map, 0..1.
        view_overlap: IoU above which two views show the same instance of a class.
    """

    needed_outputs = ("scores", "classes", "masks", "counts")

    def __init__(
        self,
        overlap_threshold: float = 0.5,
        score_threshold: float = 0.3,
        view_overlap: float = 0.5,
    ) -> None:
        for name, value in (
            ("overlap_threshold", overlap_threshold),
            ("score_threshold", score_threshold),
            ("view_overlap", view_overlap),
        ):
            if not 0 <= value <= 1:
                raise UsageError(f"{name} must be in 0..1, got {value}")
        self.overlap_threshold = overlap_threshold
        self.score_threshold = score_threshold
        self.view_overlap = view_overlap

    def __call__(self, outputs: Outputs, frames: Sequence[Frame]) -> list[Prediction]:
        """Predict in original pixels, one prediction an image; padding takes no part.

        Args:
            outputs: of the batch, of all images one after the other: `scores` [K], `classes` [K]
                class indices and `masks` [K, h, w] logits; `counts` [N] of these.
            frames: where each image lies in the network's input.
        """
        return [
            self._predict(found, frame)
            for found, frame in zip(by_image(outputs), frames, strict=True)
        ]

    def _predict(self, found: SoloOutputs, frame: Frame) -> Prediction:
        instances = list(_instances(found, frame))
        shown = [instance for instance in instances if instance.score >= self.score_threshold]
        ids, segments = _on_top(shown, frame.original_size, self.overlap_threshold)
        return Prediction(ids, segments, instances=instances)

    def host_settings(self) -> dict[str, float]:
        """The arguments that make another like it."""
        return {
            "overlap_threshold": self.overlap_threshold,
            "score_threshold": self.score_threshold,
            "view_overlap": self.view_overlap,
        }

    def merge_views(
        self, outputs: Sequence[Outputs], views: Sequence[View]
    ) -> dict[str, paddle.Tensor]:
        """As `merge_instances_of_views`."""
        return merge_instances_of_views(outputs, views, self.view_overlap)

    def debug_images(self, outputs: Outputs) -> dict[str, np.ndarray]:
        """What to draw of the batch's first image: `masks` of `likeliest_mask`."""
        return {"masks": likeliest_mask(outputs)}


def _instances(found: SoloOutputs, frame: Frame) -> Iterator[Instance]:
    """Yield the instances of an image by descending score; one without a pixel is none."""
    order = by_score(found.scores)
    for start in range(0, len(order), _MASKS_AT_ONCE):
        some = order[start : start + _MASKS_AT_ONCE]
        for index, mask in zip(some, _in_original_pixels(found.masks[some], frame), strict=True):
            y, x = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
            if len(y):
                inside = np.array(mask[y[0] : y[-1] + 1, x[0] : x[-1] + 1])
                category, score = int(found.classes[index]), float(found.scores[index])
                yield Instance(category, score, (int(y[0]), int(x[0])), inside)


def _in_original_pixels(masks: np.ndarray, frame: Frame) -> np.ndarray:
    """Logits [K, h, w] at the network's stride -> [K, H, W] bool."""
    top, left, bottom, right = frame.valid_box
    probabilities = F.sigmoid(paddle.to_tensor(masks)).unsqueeze(0)
    whole = resize_map(probabilities, frame.size, align_corners=False)
    valid = whole[:, :, top:bottom, left:right]
    return (resize_map(valid, frame.original_size, align_corners=False)[0] > 0.5).numpy()


def _on_top(
    instances: Sequence[Instance], size: tuple[int, int], overlap_threshold: float
) -> tuple[np.ndarray, list[Segment]]:
    """Draw a map of the instances, in their order; a later one gets what is left."""
    ids = np.full(size, VOID_ID, np.int32)
    occupancy = Occupancy(size, overlap_threshold)
    segments: list[Segment] = []
    for instance in instances:
        free = occupancy.claim(instance.mask, instance.window)
        if free is not None and free.any():
            number, area = len(segments) + 1, int(np.count_nonzero(free))
            ids[instance.window][free] = number
            segments.append(
                Segment(number, instance.category, area=area, is_thing=True, score=instance.score)
            )
    return ids, segments
