"""Targets of SOLOv2 (https://arxiv.org/abs/2003.10152, section 3): instances by their location.

Each level of a pyramid has a grid over the image; an instance belongs to the levels whose range of
sizes holds its own, and there to the cells around its center of mass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from panoptic_deeplab.errors import UsageError
from panoptic_deeplab.registry import TARGETS
from panoptic_deeplab.structures import PanopticMap, Sample
from panoptic_deeplab.targets.instances import thing_runs
from panoptic_deeplab.targets.runs import SegmentRuns

GRIDS = (40, 36, 24, 16, 12)
RANGES = ((1, 96), (48, 192), (96, 384), (192, 768), (384, 2048))
"""Of the full SOLOv2, fine to coarse."""

_MASK_STRIDE = 4


class Positives(NamedTuple):
    """Cells that learn an instance: level after level, in each by instance, in each by row.

    Attributes:
        cells: [P] int64 index among the cells of all levels, row by row in each.
        instances: [P] int64 index of the instance. Two instances may share a cell.
    """

    cells: np.ndarray
    instances: np.ndarray


@dataclass(frozen=True)
class SoloGrid:
    """Which cells learn which instance.

    Attributes:
        grids: cells on each side of each level's grid.
        ranges: (smallest, largest) side in pixels of each level's instances, both included; the
            side is the square root of the box's area.
        center_fraction: side of the center region in sides of the box. The region holds at most
            3 x 3 cells.
    """

    grids: Sequence[int] = GRIDS
    ranges: Sequence[tuple[float, float]] = RANGES
    center_fraction: float = 0.2

    def __post_init__(self) -> None:
        if len(self.grids) != len(self.ranges):
            raise UsageError(
                f"grids and ranges: expected one range for each of {len(self.grids)} grids, got "
                f"{len(self.ranges)}"
            )

    @property
    def num_cells(self) -> int:
        """Number of cells of all levels."""
        return sum(side * side for side in self.grids)

    def positives(self, boxes: np.ndarray, centers: np.ndarray, size: tuple[int, int]) -> Positives:
        """Find the cells that learn.

        All numbers are float32, as in the reference: a center on the border of two cells falls to
        the side that its rounding says.

        Args:
            boxes: [M, 4] float32 (x1, y1, x2, y2) in pixels.
            centers: [M, 2] float32 (y, x), the centers of mass; NaN for an instance to leave out.
            size: (height, width) of the image, in whole steps of the masks' stride.
        """
        sides = boxes[:, 2:] - boxes[:, :2]
        scales = np.sqrt(sides[:, 0] * sides[:, 1])
        half = np.float32(0.5) * sides[:, ::-1] * np.float32(self.center_fraction)
        cells, instances, first = [], [], 0
        for grid, (low, high) in zip(self.grids, self.ranges, strict=True):
            for i in np.flatnonzero((scales >= low) & (scales <= high)):
                if not np.isnan(centers[i]).any():
                    rows, columns = _region(centers[i], half[i], size, grid)
                    region = first + rows[:, np.newaxis] * grid + columns
                    cells.append(region.ravel())
                    instances.append(np.full(region.size, i))
            first += grid * grid
        return Positives(_joined(cells), _joined(instances))


def _region(
    center: np.ndarray, half: np.ndarray, size: tuple[int, int], grid: int
) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the cells around a center (y, x)."""
    extent = np.array(size, np.float32)
    cell = _cell(center, extent, grid)
    first = np.maximum(np.maximum(0, _cell(center - half, extent, grid)), cell - 1)
    last = np.minimum(np.minimum(grid - 1, _cell(center + half, extent, grid)), cell + 1)
    rows, columns = (np.arange(a, b + 1) for a, b in zip(first, last, strict=True))
    return rows, columns


def _cell(place: np.ndarray, extent: np.ndarray, grid: int) -> np.ndarray:
    return np.trunc(place / extent / np.float32(1 / grid)).astype(np.int64)


def _joined(parts: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.zeros(0, np.int64), *parts])


@TARGETS.add_component
class SoloGridTargets:
    """Add the training targets of a network with a SOLOv2 head to a sample.

    From `panoptic` [H, W] and `segments` come

    - `semantic` [H, W]: class indices, `ignore_index` where void;
    - `instances` [H, W] int32: k + 1 on the pixels of instance k, 0 elsewhere;
    - `categories` [cells] int64: 0, or the class of the last instance that the cell learns: 1 for
      the first of `thing_ids`, 2 for the second, ...;
    - `cells` [P] int64 and `owners` [P] int64: the cells that learn a mask, and the k + 1 of its
      instance. A row with the owner 0 (one where there is no instance, and those that pad a batch)
      is none.

    Masks are made from `instances` by the loss, so that memory does not grow with their number.
    Instances are the things in the image that are not crowds.

    Args:
        thing_ids: class indices of the things.
        ignore_index: label of void.
        grids: as `SoloGrid`, and so the others.
    """

    target_names = ("semantic", "instances", "categories", "cells", "owners")

    def __init__(
        self,
        thing_ids: Sequence[int],
        ignore_index: int = 255,
        grids: Sequence[int] = GRIDS,
        ranges: Sequence[tuple[float, float]] = RANGES,
        center_fraction: float = 0.2,
    ) -> None:
        self.class_of = {category: i for i, category in enumerate(thing_ids, start=1)}
        self.ignore_index = ignore_index
        self.grid = SoloGrid(grids, ranges, center_fraction)

    def __call__(self, sample: Sample) -> Sample:
        ids = sample["panoptic"]
        things, boxes, runs = thing_runs(ids, sample["segments"], self.class_of)
        size = tuple(-(-side // _MASK_STRIDE) * _MASK_STRIDE for side in ids.shape)
        positives = self.grid.positives(boxes, centers_of_mass(runs, len(things)), size)
        categories = np.zeros(self.grid.num_cells, np.int64)
        classes = np.array([self.class_of[thing.category] for thing in things], np.int64)
        categories[positives.cells] = classes[positives.instances]
        rows = max(len(positives.cells), 1)
        cells, owners = np.zeros((2, rows), np.int64)
        cells[: len(positives.cells)] = positives.cells
        owners[: len(positives.cells)] = positives.instances + 1
        return sample | {
            "semantic": PanopticMap(ids, sample["segments"]).semantic(self.ignore_index),
            "instances": runs.spread(runs.slots.astype(np.int32)),
            "categories": categories,
            "cells": cells,
            "owners": owners,
        }


def centers_of_mass(runs: SegmentRuns, count: int) -> np.ndarray:
    """Return the mean (y, x) of the pixels of each of `count` slots: [count, 2] float32."""
    slots, lengths = runs.slots, runs.lengths
    moments = (lengths, runs.rows * lengths, runs.columns * lengths + lengths * (lengths - 1) // 2)
    area, y, x = (np.bincount(slots, m, count + 1)[1:].astype(np.float32) for m in moments)
    with np.errstate(invalid="ignore"):
        return np.stack([y / area, x / area], axis=1)
