"""Panoptic-DeepLab's postprocessor: from outputs to a panoptic map.

https://arxiv.org/abs/1911.10194, section 3.2: find the centers in the heatmap, assign every thing
pixel to the center nearest to where its offset points, give each group its majority class.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import replace

import numpy as np
import paddle
import paddle.nn.functional as F

from panoptic_deeplab.grouping_settings import GroupingSettings
from panoptic_deeplab.postprocess.original_pixels import in_original_pixels
from panoptic_deeplab.postprocess.sparse import Grid, panoptic_map
from panoptic_deeplab.postprocess.tensor_grouping import predict_one
from panoptic_deeplab.registry import POSTPROCESSORS
from panoptic_deeplab.resample import resize_outputs
from panoptic_deeplab.structures import Frame, Prediction
from panoptic_deeplab.views import View

Outputs = Mapping[str, paddle.Tensor]

_MIN_PROBABILITY = 1e-30  # whose logarithm is finite
_CERTAIN_LOGIT = 100.0  # its softmax is 1 in float32, for any number of classes


@POSTPROCESSORS.add_component
class CenterGrouping:
    """Groups pixels around centers; each group takes its majority class.

    Args:
        num_classes: semantic classes.
        thing_ids: class indices of the things.
        threshold: heatmap value that a center must exceed.
        nms_kernel: side of the window in which a center has the highest value, in pixels.
        top_k: maximum number of centers in an image.
        min_stuff_area: a stuff class with fewer pixels in the image becomes void.
        align_corners: as the model's.
    """

    needed_outputs = ("semantic", "center", "offset")
    oracle_names = needed_outputs
    """What `oracle` can replace."""
    outputs_are_maps = True
    """Those of the tiles of an image can be stitched; all else happens after."""
    changeable_settings = ("threshold", "min_stuff_area")
    """What `with_settings` changes."""

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
        self.settings = GroupingSettings(
            num_classes,
            tuple(thing_ids),
            threshold,
            nms_kernel,
            top_k,
            min_stuff_area,
            align_corners,
        )

    def with_settings(self, settings: Mapping[str, float]) -> CenterGrouping:
        """The same grouping with other settings, by name."""
        changed = copy(self)
        changed.settings = replace(self.settings, **settings)
        return changed

    def export_settings(self) -> GroupingSettings:
        """What a graph that groups as this does needs to know."""
        return self.settings

    def __call__(self, outputs: Outputs, frames: Sequence[Frame]) -> list[Prediction]:
        """Predict in original pixels, one prediction an image; padding takes no part.

        Args:
            outputs: `semantic`, `center` and `offset` of the batch.
            frames: where each image lies in the network's input.
        """
        if outputs["semantic"].place.is_gpu_place():
            return [
                self._predict_on_device({n: v[i : i + 1] for n, v in outputs.items()}, frame)
                for i, frame in enumerate(frames)
            ]
        logits, heatmaps, offsets = (  # the tensors' own memory: a copy doubled what is held
            np.from_dlpack(outputs[name].astype("float32").detach())
            for name in ("semantic", "center", "offset")
        )
        return [
            self._predict(*maps, frame)
            for *maps, frame in zip(logits, heatmaps[:, 0], offsets, frames, strict=True)
        ]

    def merge_views(
        self, outputs: Sequence[Outputs], views: Sequence[View]
    ) -> dict[str, paddle.Tensor]:
        """Merge the outputs of several views of the same images, at the input's size.

        Each view is inverted; then class probabilities, heatmaps and offsets are averaged.
        `semantic` is the logarithm of the mean probability, whose softmax is that probability.

        Args:
            outputs: of each view, at the network's stride.
            views: what inverts each of them.
        """
        total: dict[str, paddle.Tensor] = {}
        for output, view in zip(outputs, views, strict=True):
            for name, value in self._inverted(output, view).items():
                total[name] = total[name] + value if name in total else value
        mean = {name: value / len(views) for name, value in total.items()}
        return mean | {"semantic": paddle.log(mean["semantic"].clip(min=_MIN_PROBABILITY))}

    def _inverted(self, outputs: Outputs, view: View) -> dict[str, paddle.Tensor]:
        """Probabilities, heatmap and offsets of one view on the unscaled input."""
        seen = resize_outputs(dict(outputs), view.size, align_corners=self.settings.align_corners)
        return {
            "semantic": F.softmax(view.invert(seen["semantic"]), axis=1),
            "center": view.invert(seen["center"]),
            "offset": view.invert_vectors(seen["offset"]),
        }

    def oracle(
        self, outputs: Outputs, targets: Outputs, names: Sequence[str]
    ) -> dict[str, paddle.Tensor]:
        """The outputs at the input's size, those of `names` replaced by the ground truth.

        As in bowenc0221/panoptic-deeplab, but the true classes also say which pixels are grouped
        (there the predicted classes do), and where the ground truth is void the network chooses
        among the stuff (there it is the first stuff class): as things such pixels would vote for
        the class of an instance nearby.

        Args:
            outputs: of the network.
            targets: as `CenterOffsetTargets` makes them: `semantic` [N, H, W] class indices (all
                others are void), `center` [N, H, W], `offset` [N, 2, H, W].
            names: of `oracle_names`.
        """
        size = tuple(targets["semantic"].shape[-2:])
        resized = resize_outputs(dict(outputs), size, align_corners=self.settings.align_corners)
        truth = {
            "semantic": self._true_logits(targets["semantic"], resized["semantic"]),
            "center": targets["center"].unsqueeze(1),
            "offset": targets["offset"],
        }
        return resized | {name: truth[name] for name in names}

    def _true_logits(self, labels: paddle.Tensor, predicted: paddle.Tensor) -> paddle.Tensor:
        """Logits [N, C, H, W] certain of the labels [N, H, W]; in void those of stuff stay."""
        classes = paddle.arange(self.settings.num_classes).reshape([1, -1, 1, 1])
        is_class = (labels.astype("int64").unsqueeze(1) == classes).astype(predicted.dtype)
        is_void = 1 - is_class.sum(axis=1, keepdim=True)
        is_thing = (
            paddle.to_tensor(self.settings.is_thing).astype(predicted.dtype).reshape([1, -1, 1, 1])
        )
        return _CERTAIN_LOGIT * (is_class - is_void * is_thing) + is_void * predicted

    def debug_images(self, outputs: Outputs) -> dict[str, np.ndarray]:
        """What to draw of the batch's first image, at the network's stride.

        Returns:
            `center` [h, w] float32 in 0..1, and `offset` [2, h, w] float32, vectors (y, x).
        """
        first = {name: outputs[name][0].astype("float32").numpy() for name in ("center", "offset")}
        return first | {"center": first["center"][0]}

    def _predict(
        self, logits: np.ndarray, heatmap: np.ndarray, offsets: np.ndarray, frame: Frame
    ) -> Prediction:
        """One image: logits [C, h, w], heatmap [h, w] and offsets [2, h, w] at any stride."""
        grid = Grid.of(logits.shape[1:], frame.size, frame.valid_box, self.settings.align_corners)
        prediction = panoptic_map(logits, heatmap, offsets, grid, self.settings)
        return in_original_pixels(prediction, frame.original_size)

    def _predict_on_device(self, outputs: Outputs, frame: Frame) -> Prediction:
        """One image [1, C, h, w] where its outputs are; only the result comes to the host."""
        prediction = predict_one(outputs, frame, self.settings)
        return in_original_pixels(prediction, frame.original_size)
