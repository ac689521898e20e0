"""Areas and boxes of the ids of a map."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from panoptic_deeplab.structures import run_starts


@dataclass(frozen=True)
class IdMeasures:
    """What a map's ids, void among them, cover; N ids, ascending.

    Attributes:
        ids: [N] int64.
        areas: [N] int64 pixels.
        boxes: [N, 4] int64: top, left, bottom, right, end exclusive.
        first: [N, 2] int64 (y, x): the first pixel of each in row-major order.
    """

    ids: np.ndarray
    areas: np.ndarray
    boxes: np.ndarray
    first: np.ndarray


def measure_ids(ids: np.ndarray) -> IdMeasures:
    """Measures a map [H, W] of whole numbers.

    Rows are cut into runs of one id, of which there are few, and only the runs are sorted:
    `[[1, 1, 0]]` has areas 1 and 2, boxes (0, 2, 1, 3) and (0, 0, 1, 2) for the ids 0 and 1.
    """
    starts = run_starts(ids)
    lengths = np.diff(starts, append=ids.size)
    y, left = np.divmod(starts, max(1, ids.shape[1]))
    values = ids.ravel()[starts].astype(np.int64)
    order = np.argsort(values, kind="stable")
    values, y, left, lengths = values[order], y[order], left[order], lengths[order]
    if not values.size:
        none = np.zeros((0, 4), np.int64)
        return IdMeasures(values, values, none, none[:, :2])
    groups = np.flatnonzero(np.append(True, values[1:] != values[:-1]))
    lowest, highest = np.minimum.reduceat, np.maximum.reduceat
    edges = (
        y[groups],  # runs of one id are still in row-major order
        lowest(left, groups),
        highest(y, groups) + 1,
        highest(left + lengths, groups),
    )
    return IdMeasures(
        values[groups],
        np.add.reduceat(lengths, groups),
        np.stack(edges, axis=1),
        np.stack([y[groups], left[groups]], axis=1),
    )
