"""Grouping in original pixels, as detectron2's Panoptic-DeepLab does it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
import paddle
import paddle.nn.functional as F

from panoptic_deeplab.grouping_settings import check_center_options
from panoptic_deeplab.postprocess.center_grouping import CenterGrouping, Outputs
from panoptic_deeplab.registry import POSTPROCESSORS
from panoptic_deeplab.resample import resize_map
from panoptic_deeplab.structures import Frame, Prediction
from panoptic_deeplab.views import View

STRIDE = 4
"""Of the outputs."""


@POSTPROCESSORS.add_component
class OriginalSizeGrouping:
    """Groups pixels around centers in the original image, not in the network's input.

    The outputs are upsampled by their stride, cut to the image and resized to its original size;
    offsets are not scaled by that. Every pixel of a plateau of the heatmap is a center, also of
    those that upsampling makes along the borders. The score of a thing is multiplied by the heatmap
    at the middle of its pixels.

    There is no form of this for an exported graph; `CenterGrouping`, which groups in the network's
    input and takes one center of a plateau, has one.

    Args:
        num_classes: semantic classes.
        thing_ids: as `CenterGrouping`, and so the others.
    """

    needed_outputs = CenterGrouping.needed_outputs
    oracle_names = CenterGrouping.oracle_names
    outputs_are_maps = True

    def __init__(
        self,
        num_classes: int,
        thing_ids: Sequence[int],
        threshold: float = 0.1,
        nms_kernel: int = 7,
        top_k: int = 200,
        min_stuff_area: int = 2048,
        align_corners: bool = False,
    ) -> None:
        check_center_options(nms_kernel, top_k)
        self.nms_kernel, self.align_corners = nms_kernel, align_corners
        self._of_peaks = CenterGrouping(
            num_classes, thing_ids, threshold, 1, top_k, min_stuff_area, align_corners
        )

    def __call__(self, outputs: Outputs, frames: Sequence[Frame]) -> list[Prediction]:
        """Predict in original pixels, one prediction an image; padding takes no part."""
        return [
            self._predict_at_original_size({n: v[i : i + 1] for n, v in outputs.items()}, frame)
            for i, frame in enumerate(frames)
        ]

    def merge_views(
        self, outputs: Sequence[Outputs], views: Sequence[View]
    ) -> dict[str, paddle.Tensor]:
        """As that of `CenterGrouping`."""
        return self._of_peaks.merge_views(outputs, views)

    def oracle(
        self, outputs: Outputs, targets: Outputs, names: Sequence[str]
    ) -> dict[str, paddle.Tensor]:
        """As that of `CenterGrouping`."""
        return self._of_peaks.oracle(outputs, targets, names)

    def debug_images(self, outputs: Outputs) -> dict[str, np.ndarray]:
        """As those of `CenterGrouping`."""
        return self._of_peaks.debug_images(outputs)

    def _predict_at_original_size(self, outputs: Outputs, frame: Frame) -> Prediction:
        """Predict one image [1, C, h, w]."""
        maps = {n: self._resized(v.astype("float32"), frame) for n, v in outputs.items()}
        whole = Frame.whole(*frame.original_size)
        peaks = {"center": self._peaks(maps["center"])}
        (prediction,) = self._of_peaks(maps | peaks, [whole])
        return _with_center_scores(prediction, maps["center"][0, 0].numpy())

    def _resized(self, value: paddle.Tensor, frame: Frame) -> paddle.Tensor:
        """One output at the original size."""
        align = self.align_corners
        top, left, bottom, right = frame.valid_box
        if tuple(value.shape[2:]) != tuple(frame.size):  # merged views are of that size already
            height, width = value.shape[2:]
            value = _resize_by_axes(value, (STRIDE * height, STRIDE * width), align)
        value = value[:, :, top:bottom, left:right]
        return _resize_by_axes(value, frame.original_size, align)

    def _peaks(self, heatmap: paddle.Tensor) -> paddle.Tensor:
        """The heatmap [1, 1, H, W], 0 where a pixel in the window is higher."""
        reach = self.nms_kernel // 2
        highest = F.max_pool2d(heatmap, self.nms_kernel, stride=1, padding=reach)
        return paddle.where(heatmap == highest, heatmap, paddle.zeros_like(heatmap))


def _resize_by_axes(
    value: paddle.Tensor, size: tuple[int, int], align_corners: bool
) -> paddle.Tensor:
    """Resize to (height, width) along one axis after the other.

    This rounds as PyTorch does, so that the same pixels of a heatmap are equal, and thus centers.
    """
    wide = resize_map(value, (value.shape[2], size[1]), align_corners)
    return resize_map(wide, size, align_corners)


def _with_center_scores(prediction: Prediction, heatmap: np.ndarray) -> Prediction:
    """Multiply the score of each thing by the heatmap [H, W] at the middle of its pixels."""
    confidence = heatmap.clip(0, 1)  # a network's may exceed that
    segments = [
        replace(s, score=s.score * float(confidence[_middle(prediction.ids, s.id)]))
        if s.is_thing
        else s
        for s in prediction.segments
    ]
    return replace(prediction, segments=segments)


def _middle(ids: np.ndarray, segment_id: int) -> tuple[int, int]:
    """(y, x) of the mean of a segment's pixels, rounded down."""
    moments = cv2.moments((ids == segment_id).astype(np.uint8), binaryImage=True)
    return int(moments["m01"] / moments["m00"]), int(moments["m10"] / moments["m00"])
