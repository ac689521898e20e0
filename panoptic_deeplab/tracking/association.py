"""Which instance continues which track: mask IoU and the assignment of the largest total."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from panoptic_deeplab.errors import DataError
from panoptic_deeplab.tracking.instances import Instances

_MAX_PAIRS = 1 << 25


def mask_iou(
    instances: Instances, masks: Sequence[np.ndarray], shifts: Sequence[np.ndarray]
) -> np.ndarray:
    """The IoU of N instances with M remembered masks: [N, M] float64.

    All shared pixels are counted at once, however many masks there are; masks of different ages
    may overlap.

    Args:
        instances: of this frame.
        masks: pixels of each in the flattened map, int32.
        shifts: (y, x) by which each has moved since; what leaves the frame does not count.

    Raises:
        DataError: there are too many to compare.
    """
    count, columns = len(masks), len(instances) + 1
    if count * columns > _MAX_PAIRS:
        raise DataError(
            f"{len(instances)} instances cannot be compared with {count} remembered ones (up to "
            f"{_MAX_PAIRS} pairs); predict fewer, for example by a higher threshold of scores"
        )
    if not count:
        return np.zeros((len(instances), 0))
    owners = np.repeat(np.arange(count), [mask.size for mask in masks])
    pixels = np.concatenate(masks)
    moved = np.rint(np.stack(shifts)).astype(np.int32)
    if moved.any():
        owners, pixels = _moved(owners, pixels, moved, instances.size)
    sizes = np.bincount(owners, minlength=count)
    keys = owners * columns + instances.index.ravel()[pixels]
    counts = np.bincount(keys, minlength=count * columns).reshape(count, columns)
    shared = counts[:, 1:].T
    return shared / (instances.areas[:, np.newaxis] + sizes - shared)


def _moved(
    owners: np.ndarray, pixels: np.ndarray, shifts: np.ndarray, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """The pixels at their new places, without those that are now outside."""
    height, width = size
    rows, columns = np.divmod(pixels, width)
    rows, columns = rows + shifts[owners, 0], columns + shifts[owners, 1]
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    return owners[inside], (rows * width + columns)[inside]


@dataclass(frozen=True)
class Assignment:
    """What became of N instances.

    Attributes:
        pairs: [K, 2] an instance and the track that it continues, ascending.
        left: [N - K] the others: first those that the assignment left out, then those whose pair
            was refused, both ascending.
    """

    pairs: np.ndarray
    left: np.ndarray


def assign(similarity: np.ndarray, threshold: float) -> Assignment:
    """Pair instances and tracks [N, M] so that the sum of similarities is largest.

    Pairs at or below the threshold are refused afterwards, as deeplab2's IoU tracker does
    (Apache-2.0, `tracker/iou_tracker.py`): they can displace one above it.
    """
    from scipy.optimize import linear_sum_assignment  # here, for few predictions are tracked

    rows, columns = linear_sum_assignment(similarity, maximize=True)
    accepted = similarity[rows, columns] > threshold
    left_out = np.setdiff1d(np.arange(len(similarity)), rows)
    pairs = np.stack([rows, columns], axis=1)
    return Assignment(pairs[accepted], np.concatenate([left_out, rows[~accepted]]))
