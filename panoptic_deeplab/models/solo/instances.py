"""From cells, kernels and mask features to the instances of an image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import paddle
import paddle.nn.functional as F

from panoptic_deeplab.errors import UsageError
from panoptic_deeplab.models.solo.head import CELL_OUTPUTS
from panoptic_deeplab.models.solo.matrix_nms import DECAYS, matrix_nms, points_nms
from panoptic_deeplab.registry import INSTANCE_FINDERS

STRIDES = (8, 8, 16, 32, 32)
"""Of the levels as the head reads them: a mask has more pixels than its level's stride."""

INSTANCE_OUTPUTS = ("scores", "classes", "masks", "counts")
"""Of `SoloInstanceFinder`."""

_MASKS_AT_ONCE = 64


@dataclass(frozen=True)
class SoloSettings:
    """Which cells become instances.

    Attributes:
        score_threshold: probability of its class that a cell must exceed, 0..1.
        max_candidates: masks that are compared, those with the highest scores.
        final_threshold: score that an instance reaches after the comparison, 0..1.
        max_instances: maximum number of instances per image.
        decay: how matrix NMS lowers scores, `gaussian` or `linear`.
    """

    score_threshold: float = 0.1
    max_candidates: int = 500
    final_threshold: float = 0.05
    max_instances: int = 100
    decay: str = "gaussian"

    def __post_init__(self) -> None:
        if self.decay not in DECAYS:
            raise UsageError(f"decay must be one of {', '.join(DECAYS)}, got {self.decay}")


class Found(NamedTuple):
    """The instances of an image, the highest-scoring first.

    Attributes:
        scores: [K] 0..1.
        labels: [K] int64, 0 for the first thing class.
        masks: [K, h, w] logits at the stride of the mask features.
    """

    scores: paddle.Tensor
    labels: paddle.Tensor
    masks: paddle.Tensor


@INSTANCE_FINDERS.add_component
class SoloInstanceFinder:
    """From the network's outputs to the instances of a batch; no part of an exported network.

    Args:
        grids: cells on each side of each level.
        thing_ids: class indices of the things.
        score_threshold: as `SoloSettings`, and so the others.
    """

    def __init__(
        self,
        grids: Sequence[int],
        thing_ids: Sequence[int],
        score_threshold: float = 0.1,
        max_candidates: int = 500,
        final_threshold: float = 0.05,
        max_instances: int = 100,
        decay: str = "gaussian",
    ) -> None:
        self.grids, self.thing_ids = tuple(grids), tuple(thing_ids)
        self.settings = SoloSettings(
            score_threshold, max_candidates, final_threshold, max_instances, decay
        )

    def __call__(self, outputs: Mapping[str, paddle.Tensor]) -> dict[str, paddle.Tensor]:
        """Find the instances of all images, one image after the other.

        Args:
            outputs: what `SoloHead` returns, by `CELL_OUTPUTS`, and others, which stay.

        Returns:
            `scores` [K], the highest first in each image, `classes` [K] class indices, `masks`
            [K, h, w] logits, and `counts` [N] of these; and the other outputs.
        """
        cells = [outputs[name] for name in CELL_OUTPUTS]
        found = [find_instances(*image, self.grids, self.settings) for image in zip(*cells)]
        class_of = paddle.to_tensor(self.thing_ids, "int64")
        scores, labels, masks = (paddle.concat(parts) for parts in zip(*found))
        instances = {
            "scores": scores,
            "classes": class_of.gather(labels),
            "masks": masks,
            "counts": paddle.to_tensor([len(image.scores) for image in found], "int64"),
        }
        others = {name: value for name, value in outputs.items() if name not in CELL_OUTPUTS}
        return others | instances

    def host_settings(self) -> dict[str, Any]:
        """The arguments that make another like it, in plain types."""
        grids, things = ([int(i) for i in values] for values in (self.grids, self.thing_ids))
        return {"grids": grids, "thing_ids": things, **asdict(self.settings)}


@paddle.no_grad()
def find_instances(
    logits: paddle.Tensor,
    kernels: paddle.Tensor,
    features: paddle.Tensor,
    grids: Sequence[int],
    settings: SoloSettings,
) -> Found:
    """Find the instances of one image.

    A cell's score is its class's probability times the mean probability inside its mask.

    Args:
        logits: [cells, T].
        kernels: [cells, E].
        features: [E, h, w].
        grids: cells on each side of each level.
        settings: thresholds and numbers.
    """
    cells, labels, scores = _candidates(logits, grids, settings.score_threshold)
    flat = features.flatten(1)
    scores = scores * _mask_scores(kernels.gather(cells), flat, _strides(grids).gather(cells))
    chosen = scores.argsort(descending=True, stable=True)[: settings.max_candidates]
    chosen = chosen.masked_select(scores.gather(chosen) > 0)
    labels, masks = labels.gather(chosen), kernels.gather(cells.gather(chosen)) @ flat
    if len(chosen) > 0:
        scores = matrix_nms(masks > 0, labels, scores.gather(chosen), settings.decay)
    kept = scores.argsort(descending=True, stable=True)[: settings.max_instances]
    kept = kept.masked_select(scores.gather(kept) >= settings.final_threshold)
    masks = masks.gather(kept).reshape([-1, *features.shape[1:]])
    return Found(scores.gather(kept), labels.gather(kept), masks)


def _candidates(
    logits: paddle.Tensor, grids: Sequence[int], threshold: float
) -> tuple[paddle.Tensor, paddle.Tensor, paddle.Tensor]:
    """Cells [K], labels [K] and probabilities [K] of the cells that outdo their neighbors."""
    levels = F.sigmoid(logits).split([side * side for side in grids])
    scores = [
        points_nms(level.t().reshape([1, -1, side, side])).flatten(2)[0].t()
        for level, side in zip(levels, grids, strict=True)
    ]
    scores = paddle.concat(scores)
    places = paddle.nonzero(scores > threshold)
    return places[:, 0], places[:, 1], scores.gather_nd(places)


def _strides(grids: Sequence[int]) -> paddle.Tensor:
    """[cells] float32."""
    levels = zip(grids, STRIDES, strict=False)
    return paddle.concat([paddle.full([side * side], float(stride)) for side, stride in levels])


def _mask_scores(
    kernels: paddle.Tensor, features: paddle.Tensor, min_areas: paddle.Tensor
) -> paddle.Tensor:
    """[K] mean probability inside each mask, 0 for one that is too small; a few masks at a time."""
    scores = [paddle.zeros([0])]
    for start in range(0, len(kernels), _MASKS_AT_ONCE):
        part = slice(start, start + _MASKS_AT_ONCE)
        masks = F.sigmoid(kernels[part] @ features)
        inside = (masks > 0.5).astype("float32")
        areas = inside.sum(1)
        means = (masks * inside).sum(1) / areas.clip(min=1.0)
        scores.append(means * (areas > min_areas[part]).astype("float32"))
    return paddle.concat(scores)
