"""Panoptic-DeepLab's way from outputs to a panoptic map.

https://arxiv.org/abs/1911.10194, section 3.2: find the centres in the heat map, send every thing
pixel to the centre nearest to where its offset points, let each group vote for its class.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import cv2
import numpy as np
import paddle
import paddle.nn.functional as F

from panoptic_deeplab.errors import UsageError
from panoptic_deeplab.fusion import fuse_by_majority
from panoptic_deeplab.postprocess.views import View
from panoptic_deeplab.registry import POSTPROCESSORS
from panoptic_deeplab.resample import resize_outputs
from panoptic_deeplab.structures import Frame, Prediction, Segment, smallest_label_type

Outputs = Mapping[str, paddle.Tensor]

_BLOCK = 1 << 14  # thing pixels whose distances to all centres are held at a time
_LEAST_PROBABILITY = 1e-30  # whose logarithm is finite
_SURE_LOGIT = 100.0  # its softmax is 1 in float32, for any number of classes


def find_centers(
    center_heatmap: np.ndarray,
    *,
    threshold: float = 0.1,
    nms_kernel: int = 7,
    top_k: int = 200,
) -> np.ndarray:
    """The peaks of a heat map.

    A centre is a pixel above the threshold with no higher heat in the window around it and no
    equal heat earlier in row-major order there, so that a plateau is one centre. Of more than
    `top_k` the hottest stay, on ties the earlier.

    Args:
        center_heatmap: [H, W] float32.
        threshold: heat a centre must exceed.
        nms_kernel: side of the window in pixels, odd.
        top_k: most centres kept.

    Returns:
        [K, 2] int64 (y, x) in row-major order.

    Raises:
        UsageError: nms_kernel is even, or top_k or nms_kernel below 1.
    """
    if nms_kernel < 1 or nms_kernel % 2 == 0:
        raise UsageError(f"nms_kernel must be odd and positive, got {nms_kernel}")
    if top_k < 1:
        raise UsageError(f"top_k must be at least 1, got {top_k}")
    heat = np.ascontiguousarray(center_heatmap, np.float32)
    highest = cv2.dilate(heat, np.ones((nms_kernel, nms_kernel), np.uint8))
    peaks = np.argwhere((heat > threshold) & (heat == highest))
    peaks = peaks[~_equal_heat_earlier(heat, peaks, nms_kernel // 2)]
    hottest = np.argsort(-heat[peaks[:, 0], peaks[:, 1]], kind="stable")[:top_k]
    return peaks[np.sort(hottest)]


def _equal_heat_earlier(heat: np.ndarray, peaks: np.ndarray, reach: int) -> np.ndarray:
    """[K] whether a peak has an equal before it, in row-major order, within its window."""
    equal = np.zeros(len(peaks), bool)
    values = heat[peaks[:, 0], peaks[:, 1]]
    bordered = np.pad(heat, reach, constant_values=-np.inf)
    for dy in range(-reach, 1):
        for dx in range(-reach, reach + 1 if dy < 0 else 0):
            equal |= bordered[peaks[:, 0] + reach + dy, peaks[:, 1] + reach + dx] == values
    return equal


def group_pixels(centers: np.ndarray, offsets: np.ndarray, thing_mask: np.ndarray) -> np.ndarray:
    """The instance of every thing pixel: the centre nearest to pixel + offset.

    Distances are squared, in float32; of equally near centres the first counts.

    Args:
        centers: [K, 2] (y, x).
        offsets: [2, H, W] float32, (y, x) in pixels.
        thing_mask: [H, W] bool.

    Returns:
        [H, W] int32, 0 where there is no thing or no centre, else 1..K.
    """
    instances = np.zeros(thing_mask.shape, np.int32)
    pixels = np.flatnonzero(thing_mask) if len(centers) else np.zeros(0, np.int64)
    rows, columns = np.divmod(pixels, thing_mask.shape[1])
    aims = [
        position.astype(np.float32) + offset.ravel()[pixels]
        for position, offset in zip((rows, columns), offsets, strict=True)
    ]
    center_rows, center_columns = np.asarray(centers, np.float32).reshape(-1, 2).T
    for start in range(0, len(pixels), _BLOCK):
        y, x = (aim[start : start + _BLOCK, None] for aim in aims)
        squared = (center_rows - y) ** 2 + (center_columns - x) ** 2
        instances.ravel()[pixels[start : start + _BLOCK]] = squared.argmin(axis=1) + 1
    return instances


@POSTPROCESSORS.add_component
class CenterGrouping:
    """Groups pixels around centres and lets each group vote for its class.

    Args:
        num_classes: semantic classes.
        thing_ids: class indices of the things.
        threshold: heat a centre must exceed.
        nms_kernel: side of the window in which a centre is the hottest, in pixels.
        top_k: most centres in an image.
        min_stuff_area: a stuff class with fewer pixels in the image becomes void.
        align_corners: as the model's.
    """

    oracle_names = ("semantic", "center", "offset")
    """What `oracle` can replace."""

    def __init__(
        self,
        num_classes: int,
        thing_ids: Sequence[int],
        threshold: float = 0.1,
        nms_kernel: int = 7,
        top_k: int = 200,
        min_stuff_area: int = 2048,
        align_corners: bool = True,
    ) -> None:
        find_centers(np.zeros((1, 1)), nms_kernel=nms_kernel, top_k=top_k)  # refuses wrong values
        self.is_thing = np.isin(np.arange(num_classes), list(thing_ids))
        self.thing_ids = tuple(thing_ids)
        self.threshold = threshold
        self.nms_kernel = nms_kernel
        self.top_k = top_k
        self.min_stuff_area = min_stuff_area
        self.align_corners = align_corners
        self.label_type = smallest_label_type(num_classes)

    def __call__(self, outputs: Outputs, frames: Sequence[Frame]) -> list[Prediction]:
        """Predictions in original pixels, one an image; padding takes no part.

        Args:
            outputs: `semantic`, `center` and `offset` of the batch.
            frames: where each image lies in the network's input.
        """
        probabilities = F.softmax(outputs["semantic"], axis=1).numpy()
        resized = resize_outputs(dict(outputs), frames[0].size, align_corners=self.align_corners)
        labels = resized["semantic"].argmax(axis=1).numpy().astype(self.label_type)
        heat, offsets = resized["center"].numpy()[:, 0], resized["offset"].numpy()
        return [
            self._predict(*maps, frame)
            for *maps, frame in zip(labels, heat, offsets, probabilities, frames, strict=True)
        ]

    def merge_views(
        self, outputs: Sequence[Outputs], views: Sequence[View]
    ) -> dict[str, paddle.Tensor]:
        """The outputs of several views of the same images as one, at the input's size.

        Class probabilities, heat and offsets are averaged pixel by pixel, each turned back first.
        `semantic` is the logarithm of the mean probability, whose softmax is that probability.

        Args:
            outputs: of each view, at the network's stride.
            views: the way back from each.
        """
        total: dict[str, paddle.Tensor] = {}
        for output, view in zip(outputs, views, strict=True):
            for name, value in self._turned_back(output, view).items():
                total[name] = total[name] + value if name in total else value
        mean = {name: value / len(views) for name, value in total.items()}
        return mean | {"semantic": paddle.log(mean["semantic"].clip(min=_LEAST_PROBABILITY))}

    def _turned_back(self, outputs: Outputs, view: View) -> dict[str, paddle.Tensor]:
        """Probabilities, heat and offsets of one view on the unscaled input."""
        seen = resize_outputs(dict(outputs), view.size, align_corners=self.align_corners)
        return {
            "semantic": F.softmax(view.turn_back(seen["semantic"]), axis=1),
            "center": view.turn_back(seen["center"]),
            "offset": view.turn_back_vectors(seen["offset"]),
        }

    def oracle(
        self, outputs: Outputs, targets: Outputs, names: Sequence[str]
    ) -> dict[str, paddle.Tensor]:
        """The outputs at the input's size, those of `names` replaced by the truth.

        As in bowenc0221/panoptic-deeplab, but the true classes also say which pixels are grouped
        (there these stay the predicted ones), and where the truth is void the network chooses
        among the stuff (there it is the first stuff class): as things such pixels would vote for
        the class of an instance nearby.

        Args:
            outputs: of the network.
            targets: as `CenterOffsetTargets` makes them: `semantic` [N, H, W] class indices (all
                others are void), `center` [N, H, W], `offset` [N, 2, H, W].
            names: of `oracle_names`.
        """
        size = tuple(targets["semantic"].shape[-2:])
        resized = resize_outputs(dict(outputs), size, align_corners=self.align_corners)
        truth = {
            "semantic": self._true_logits(targets["semantic"], resized["semantic"]),
            "center": targets["center"].unsqueeze(1),
            "offset": targets["offset"],
        }
        return resized | {name: truth[name] for name in names}

    def _true_logits(self, labels: paddle.Tensor, predicted: paddle.Tensor) -> paddle.Tensor:
        """[N, C, H, W] logits sure of the labels [N, H, W], the stuff's predicted ones in void."""
        classes = paddle.arange(len(self.is_thing)).reshape([1, -1, 1, 1])
        is_class = (labels.astype("int64").unsqueeze(1) == classes).astype(predicted.dtype)
        is_void = 1 - is_class.sum(axis=1, keepdim=True)
        is_thing = paddle.to_tensor(self.is_thing).astype(predicted.dtype).reshape([1, -1, 1, 1])
        return _SURE_LOGIT * (is_class - is_void * is_thing) + is_void * predicted

    def debug_images(self, outputs: Outputs) -> dict[str, np.ndarray]:
        """What to draw of the batch's first image, at the network's stride.

        Returns:
            `center` [h, w] float32, heat in 0..1, and `offset` [2, h, w] float32, vectors (y, x).
        """
        first = {name: outputs[name][0].astype("float32").numpy() for name in ("center", "offset")}
        return first | {"center": first["center"][0]}

    def _predict(
        self,
        labels: np.ndarray,
        heat: np.ndarray,
        offsets: np.ndarray,
        probabilities: np.ndarray,
        frame: Frame,
    ) -> Prediction:
        """One image: labels and heat [H, W], offsets [2, H, W], probabilities [C, h, w]."""
        top, left, bottom, right = frame.valid_box
        inside = (slice(top, bottom), slice(left, right))
        labels = labels[inside]
        centers = find_centers(
            heat[inside],
            threshold=self.threshold,
            nms_kernel=self.nms_kernel,
            top_k=self.top_k,
        )
        instances = group_pixels(centers, offsets[(slice(None), *inside)], self.is_thing[labels])
        ids, segments = fuse_by_majority(
            labels, instances, thing_ids=self.thing_ids, min_stuff_area=self.min_stuff_area
        )
        segments = _with_scores(ids, segments, probabilities, frame)
        return _in_original_pixels(Prediction(ids, segments, labels), frame.original_size)


def _with_scores(
    ids: np.ndarray, segments: Sequence[Segment], probabilities: np.ndarray, frame: Frame
) -> list[Segment]:
    """The segments with the mean probability of their class over their pixels.

    Each pixel takes the probability of the network's own pixel it lies in, without upsampling.
    """
    top, left, *_ = frame.valid_box
    coarse_size = probabilities.shape[1:]
    rows, columns = (
        (np.arange(side) + start) * coarse // full
        for side, start, coarse, full in zip(
            ids.shape, (top, left), coarse_size, frame.size, strict=True
        )
    )
    cells = rows[:, None] * coarse_size[1] + columns
    categories = np.array([0, *(segment.category for segment in segments)])
    sure = probabilities.reshape(len(probabilities), -1)[categories[ids], cells]
    sums = np.bincount(ids.ravel(), sure.ravel(), minlength=len(categories))
    return [replace(segment, score=float(sums[segment.id] / segment.area)) for segment in segments]


def _in_original_pixels(prediction: Prediction, size: tuple[int, int]) -> Prediction:
    """The prediction at (height, width); segments that vanish on the way leave the list."""
    if prediction.ids.shape == size:
        return prediction
    ids, labels = (
        cv2.resize(array, size[::-1], interpolation=cv2.INTER_NEAREST)
        for array in (prediction.ids, prediction.labels)
    )
    areas = np.bincount(ids.ravel(), minlength=len(prediction.segments) + 1)
    segments = [
        replace(segment, area=int(areas[segment.id]))
        for segment in prediction.segments
        if areas[segment.id]
    ]
    return Prediction(ids, segments, labels)
