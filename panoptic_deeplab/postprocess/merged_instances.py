"""Merges the instances that several views of an image show."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from panoptic_deeplab.fusion.instances import Instances
from panoptic_deeplab.fusion.pasting import sample
from panoptic_deeplab.fusion.score_order import by_score


def merge_instances(seen: Sequence[Instances], threshold: float, max_instances: int) -> Instances:
    """Merge the instances of all views, by descending score, without duplicates.

    Instances of one class whose boxes overlap are one. The box and the score of the highest-scoring
    are kept; masks are averaged on that box, each being 0, undecided, outside its own box.

    Args:
        seen: what each view shows, on the same image.
        threshold: IoU above which two boxes are of one instance.
        max_instances: maximum number of instances kept.
    """
    together = Instances(
        *(
            np.concatenate([getattr(instances, name) for instances in seen])
            for name in ("boxes", "scores", "classes", "masks")
        )
    )
    ranked = together.only(by_score(together.scores))
    groups = _groups(ranked, threshold)[:max_instances]
    if not groups:
        return ranked
    chosen = ranked.only(np.array([group[0] for group in groups]))
    masks = np.stack([_mean_mask(ranked.only(group)) for group in groups])
    return Instances(chosen.boxes, chosen.scores, chosen.classes, masks)


def _groups(ranked: Instances, threshold: float) -> list[np.ndarray]:
    """Indices of the instances that are one, in each group by descending score."""
    is_free = np.ones(len(ranked.scores), bool)
    groups = []
    for i in range(len(is_free)):
        if is_free[i]:
            same = is_free & (ranked.classes == ranked.classes[i])
            same &= _overlaps(ranked.boxes[i], ranked.boxes) > threshold
            same[i] = True
            groups.append(np.flatnonzero(same))
            is_free &= ~same
    return groups


def _overlaps(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """[K] intersection over union of a box with each of [K, 4]."""
    shared = np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2])
    intersection = shared.clip(min=0).prod(axis=1)
    area, areas = ((b[..., 2:] - b[..., :2]).prod(axis=-1) for b in (box, boxes))
    return intersection / np.maximum(area + areas - intersection, 1e-6)


def _mean_mask(group: Instances) -> np.ndarray:
    """[m, m] the masks' mean on the first one's box."""
    x0, y0, x1, y1 = group.boxes[0]
    bins = (np.arange(group.masks.shape[1]) + 0.5) / group.masks.shape[1]
    rows, columns = y0 + bins * (y1 - y0), x0 + bins * (x1 - x0)
    masks = (
        sample(mask, box, rows, columns) for box, mask in zip(group.boxes, group.masks, strict=True)
    )
    return np.mean(list(masks), axis=0)
