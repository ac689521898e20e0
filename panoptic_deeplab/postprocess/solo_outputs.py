"""The instances that SOLOv2's head finds: of each image of a batch, and of several views of one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import paddle

from panoptic_deeplab.fusion.score_order import by_score
from panoptic_deeplab.resample import resize_map
from panoptic_deeplab.views import View

Outputs = Mapping[str, paddle.Tensor]


class SoloOutputs(NamedTuple):
    """What a network finds in an image: [K] scores, [K] class indices, [K, h, w] mask logits."""

    scores: np.ndarray
    classes: np.ndarray
    masks: np.ndarray


def by_image(outputs: Outputs) -> Iterator[SoloOutputs]:
    """Yield the instances of each image of a batch."""
    scores, masks = (outputs[name].astype("float32").numpy() for name in ("scores", "masks"))
    classes = outputs["classes"].numpy()
    ends = np.cumsum(outputs["counts"].numpy())
    for start, end in zip([0, *ends[:-1]], ends, strict=True):
        yield SoloOutputs(scores[start:end], classes[start:end], masks[start:end])


def merge_instances_of_views(
    outputs: Sequence[Outputs], views: Sequence[View], threshold: float
) -> dict[str, paddle.Tensor]:
    """Merge the instances of several views of one image; masks have the input's size then.

    Of instances of one class whose masks overlap in several views the highest-scoring is kept, with
    the mean of their mask logits.

    Args:
        outputs: of each view.
        views: what inverts each of them.
        threshold: IoU above which two masks are of one instance.
    """
    masks = [inverted(o["masks"].unsqueeze(0), v)[0] for o, v in zip(outputs, views, strict=True)]
    scores, classes = (
        np.concatenate([output[name].numpy() for output in outputs])
        for name in ("scores", "classes")
    )
    together = SoloOutputs(scores, classes, paddle.concat(masks).numpy())
    merged = _merged(together, threshold)
    return {
        "scores": paddle.to_tensor(merged.scores, "float32"),
        "classes": paddle.to_tensor(merged.classes, "int64"),
        "masks": paddle.to_tensor(merged.masks, "float32"),
        "counts": paddle.to_tensor([len(merged.scores)], "int64"),
    }


def inverted(maps: paddle.Tensor, view: View) -> paddle.Tensor:
    """Maps [N, C, h, w] of a view at the size of the unscaled input."""
    return view.invert(resize_map(maps, view.size, align_corners=False))


def likeliest_mask(outputs: Outputs) -> np.ndarray:
    """[h, w] float32 of a batch's first image: highest probability of a mask times its score."""
    instances = next(by_image(outputs))
    shown = 1 / (1 + np.exp(-np.clip(instances.masks, -50, 50)))
    shown *= instances.scores.reshape(-1, 1, 1)
    return shown.max(axis=0, initial=0)


def _merged(instances: SoloOutputs, threshold: float) -> SoloOutputs:
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
    return SoloOutputs(instances.scores[kept], instances.classes[kept], means)
