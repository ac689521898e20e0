"""The postprocessor of EfficientPS with a SOLOv2 head: EfficientPS's fusion of other masks.

https://arxiv.org/abs/2004.02307, section 3.4, with SOLOv2's mask logits in place of the mask head's
and the box of each mask in place of the box head's; see `panoptic_deeplab.fusion.adaptive`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import paddle
import paddle.nn.functional as F

from panoptic_deeplab.errors import UsageError
from panoptic_deeplab.fusion.adaptive import AdaptiveRule, Placed, fuse_placed
from panoptic_deeplab.fusion.score_order import by_score
from panoptic_deeplab.postprocess.original_pixels import in_original_pixels
from panoptic_deeplab.postprocess.sparse import Grid, with_scores
from panoptic_deeplab.postprocess.upsampled_maps import UpsampledMaps
from panoptic_deeplab.registry import POSTPROCESSORS
from panoptic_deeplab.resample import resize_map
from panoptic_deeplab.structures import Frame, Prediction, smallest_label_type
from panoptic_deeplab.views import View

Outputs = Mapping[str, paddle.Tensor]


class _Instances(NamedTuple):
    """What a network finds in an image: [K] scores, [K] class indices, [K, h, w] mask logits."""

    scores: np.ndarray
    classes: np.ndarray
    masks: np.ndarray


@POSTPROCESSORS.add_component
class SoloFusion:
    """Fuses the logits of masks and semantics.

    Args:
        num_classes: semantic classes.
        thing_ids: class indices of the things.
        min_stuff_area: a stuff class with fewer pixels (of no instance) becomes void.
        overlap_threshold: fraction of its mask that an instance may lose to higher-scoring ones.
        mask_factor: weight of mask logits; 1 in the paper.
        score_threshold: score that an instance must reach, 0..1.
        view_overlap: IoU above which two views show the same instance of a class.
    """

    needed_outputs = ("semantic", "scores", "classes", "masks", "counts")

    def __init__(
        self,
        num_classes: int,
        thing_ids: Sequence[int],
        min_stuff_area: int = 2048,
        overlap_threshold: float = 0.5,
        mask_factor: float = 1.0,
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
        self.rule = AdaptiveRule(
            tuple(thing_ids), min_stuff_area, overlap_threshold, mask_factor, False
        )
        self.label_type = smallest_label_type(num_classes)
        self.score_threshold = score_threshold
        self.view_overlap = view_overlap

    def __call__(self, outputs: Outputs, frames: Sequence[Frame]) -> list[Prediction]:
        """Predict in original pixels, one prediction an image; padding takes no part.

        Args:
            outputs: of the batch: `semantic` logits [N, C, h, w] and, of all images one after the
                other, `scores` [K], `classes` [K] class indices and `masks` [K, h, w] logits;
                `counts` [N] of these.
            frames: where each image lies in the network's input.
        """
        logits = outputs["semantic"].astype("float32").numpy()
        return [
            self._predict(*image, frame)
            for *image, frame in zip(logits, _by_image(outputs), frames, strict=True)
        ]

    def _predict(self, logits: np.ndarray, instances: _Instances, frame: Frame) -> Prediction:
        """One image: logits [C, h, w] at any stride."""
        grid = Grid.of(logits.shape[1:], frame.size, frame.valid_box, align_corners=False)
        maps = UpsampledMaps(logits, grid, self.label_type)
        order = by_score(instances.scores)
        order = order[instances.scores[order] >= self.score_threshold]
        scores, classes = instances.scores[order], instances.classes[order]
        placed = (
            _place(instances.masks[i], maps.plane(int(instances.classes[i])), grid) for i in order
        )
        ids, fused = fuse_placed(maps, scores, classes, placed, self.rule)
        segments = [
            segment if segment.is_thing else scored
            for segment, scored in zip(fused, with_scores(ids, fused, logits, grid), strict=True)
        ]
        return in_original_pixels(Prediction(ids, segments, maps.labels), frame.original_size)

    def merge_views(
        self, outputs: Sequence[Outputs], views: Sequence[View]
    ) -> dict[str, paddle.Tensor]:
        """Merge the outputs of several views of one image; maps have the input's size then.

        Semantic logits are averaged. Of instances of one class whose masks overlap in several
        views the highest-scoring is kept, with the mean of their mask logits.

        Args:
            outputs: of each view.
            views: what inverts each of them.
        """
        semantic = [_inverted(o["semantic"], v) for o, v in zip(outputs, views, strict=True)]
        masks = [
            _inverted(o["masks"].unsqueeze(0), v)[0] for o, v in zip(outputs, views, strict=True)
        ]
        scores, classes = (
            np.concatenate([output[name].numpy() for output in outputs])
            for name in ("scores", "classes")
        )
        together = _Instances(scores, classes, paddle.concat(masks).numpy())
        merged = _merged(together, self.view_overlap)
        return {
            "semantic": sum(semantic[1:], semantic[0]) / len(views),
            "scores": paddle.to_tensor(merged.scores, "float32"),
            "classes": paddle.to_tensor(merged.classes, "int64"),
            "masks": paddle.to_tensor(merged.masks, "float32"),
            "counts": paddle.to_tensor([len(merged.scores)], "int64"),
        }

    def debug_images(self, outputs: Outputs) -> dict[str, np.ndarray]:
        """What to draw of the batch's first image, at the semantic logits' stride.

        Returns:
            `certainty` [h, w] float32, the probability of the most likely class, and `masks` [h, w]
            float32, the most likely mask's probability times its instance's score.
        """
        logits = outputs["semantic"][:1].astype("float32")
        instances = next(_by_image(outputs))
        shown = 1 / (1 + np.exp(-np.clip(instances.masks, -50, 50)))
        shown *= instances.scores.reshape(-1, 1, 1)
        return {
            "certainty": F.softmax(logits, axis=1).max(axis=1)[0].numpy(),
            "masks": shown.max(axis=0, initial=0),
        }


def _by_image(outputs: Outputs) -> Iterator[_Instances]:
    """The instances of each image."""
    scores, masks = (outputs[name].astype("float32").numpy() for name in ("scores", "masks"))
    classes = outputs["classes"].numpy()
    ends = np.cumsum(outputs["counts"].numpy())
    for start, end in zip([0, *ends[:-1]], ends, strict=True):
        yield _Instances(scores[start:end], classes[start:end], masks[start:end])


def _place(mask: np.ndarray, semantic: np.ndarray, grid: Grid) -> Placed:
    """An instance in the box of its mask: mask logits [h, w] at the network's stride upsampled.

    One whose mask holds no pixel of the image has an empty window.
    """
    y, x = (np.flatnonzero((mask > 0).any(axis=axis)) for axis in (1, 0))
    if not len(y):
        nothing = slice(0, 0)
        return Placed((nothing, nothing), np.zeros((0, 0), np.float32), semantic[:0, :0])
    rows, columns = (
        slice(*np.searchsorted(axis.low, [places[0] - 1, places[-1] + 1]))
        for axis, places in ((grid.rows, y), (grid.columns, x))
    )
    logits = grid.upsampled_window(mask, rows, columns)
    return Placed((rows, columns), logits, semantic[rows, columns])


def _inverted(maps: paddle.Tensor, view: View) -> paddle.Tensor:
    """Maps [N, C, h, w] of a view at the size of the unscaled input."""
    return view.invert(resize_map(maps, view.size, align_corners=False))


def _merged(instances: _Instances, threshold: float) -> _Instances:
    """Make one of instances of a class whose masks overlap."""
    order = by_score(instances.scores)
    size = instances.masks.shape[1:]
    masks = (instances.masks > 0).reshape(len(order), size[0] * size[1])
    is_free = np.ones(len(order), bool)
    groups = []
    for i in order:
        if is_free[i]:
            shared, all_of = (masks[i] & masks).sum(1), (masks[i] | masks).sum(1)
            same = is_free & (instances.classes == instances.classes[i])
            same &= shared > threshold * all_of
            same[i] = True
            groups.append(same)
            is_free &= ~same
    kept = np.array([order[same[order]][0] for same in groups], np.int64)
    means = [instances.masks[same].mean(axis=0) for same in groups]
    means = np.array(means, np.float32).reshape(len(groups), *size)
    return _Instances(instances.scores[kept], instances.classes[kept], means)
