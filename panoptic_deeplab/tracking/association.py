"""Which instance continues which track: mask IoU and the assignment of the largest total."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from panoptic_deeplab.tracking.instances import Instances


def mask_iou(instances: Instances, masks: Sequence[np.ndarray]) -> np.ndarray:
    """The IoU of N instances with M remembered masks: [N, M] float64.

    All shared pixels are counted at once, however many masks there are; masks of different ages
    may overlap.

    Args:
        instances: of this frame.
        masks: pixels of each in the flattened map.
    """
    sizes = np.array([mask.size for mask in masks], np.int64)
    if not sizes.size:
        return np.zeros((len(instances), 0))
    columns = len(instances) + 1
    rows = np.repeat(np.arange(sizes.size) * columns, sizes)
    keys = rows + instances.index.ravel()[np.concatenate(masks)]
    counts = np.bincount(keys, minlength=sizes.size * columns).reshape(-1, columns)
    shared = counts[:, 1:].T
    return shared / (instances.areas[:, np.newaxis] + sizes - shared)


@dataclass(frozen=True)
class Assignment:
    """What became of N instances.

    Attributes:
        pairs: [K, 2] an instance and the track that it continues, ascending.
        new: [N - K] the others, in the order in which they get ids: first those that the
            assignment left out, then those whose pair was refused, both ascending.
    """

    pairs: np.ndarray
    new: np.ndarray


def assign(similarity: np.ndarray, threshold: float) -> Assignment:
    """Pair instances and tracks [N, M] so that the sum of similarities is largest.

    Pairs at or below the threshold are refused afterwards, as deeplab2's IoU tracker does
    (Apache-2.0, `tracker/iou_tracker.py`): they can displace one above it.
    """
    rows, columns = linear_sum_assignment(similarity, maximize=True)
    accepted = similarity[rows, columns] > threshold
    left_out = np.setdiff1d(np.arange(len(similarity)), rows)
    pairs = np.stack([rows, columns], axis=1)
    return Assignment(pairs[accepted], np.concatenate([left_out, rows[~accepted]]))
