"""A panoptic map prepared for drawing."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

import cv2
import numpy as np

from panoptic_deeplab.errors import DataError
from panoptic_deeplab.structures import VOID_ID, DatasetInfo, PanopticMap, Segment
from panoptic_deeplab.visualization.palette import VOID_COLOR, category_of, instance_color


@dataclass(frozen=True)
class Region:
    """A segment as it is drawn.

    Attributes:
        name: of its class.
        category: class index.
        is_thing: as the segment says, else as its class.
        iscrowd: a group of instances annotated as one segment.
        score: 0..1 or None.
        track_id: its number over the frames of a video, or None.
        color: (r, g, b): the class's, for instances a shade of it.
    """

    name: str
    category: int
    is_thing: bool
    iscrowd: bool
    score: float | None
    track_id: int | None
    color: tuple[int, int, int]


@dataclass(frozen=True)
class RegionMap:
    """The region of each pixel, numbered without gaps.

    Attributes:
        index: [H, W] int32, 0 for void, n for `regions[n - 1]`.
        regions: the segments in the order of their ids.
    """

    index: np.ndarray
    regions: tuple[Region, ...]

    @classmethod
    def of(cls, prediction: PanopticMap, info: DatasetInfo) -> RegionMap:
        """The regions of a prediction or an annotation.

        An instance's color follows its track; those without one are numbered within their class in
        the order of ids.

        Raises:
            DataError: the map is not [H, W] of whole numbers, an id has no segment or two, or a
                category is not in `info`.
        """
        segments = sorted(prediction.segments, key=lambda segment: segment.id)
        index = _without_gaps(prediction.ids, [segment.id for segment in segments])
        instances: Counter[int] = Counter()
        regions = []
        for segment in segments:
            region = _region(segment, instances[segment.category], info)
            instances[segment.category] += region.is_thing and not region.iscrowd
            regions.append(region)
        return cls(index, tuple(regions))

    @property
    def is_thing(self) -> np.ndarray:
        """[N + 1] bool, by the numbers in `index`."""
        return np.array([False, *(region.is_thing for region in self.regions)])

    @property
    def colors(self) -> np.ndarray:
        """[N + 1, 3] uint8 RGB, by the numbers in `index`."""
        return np.array([VOID_COLOR, *(region.color for region in self.regions)], np.uint8)

    def areas(self) -> np.ndarray:
        """[N + 1] pixels, by the numbers in `index`."""
        return np.bincount(self.index.ravel(), minlength=len(self.regions) + 1)

    def enlarged(self, factor: int) -> RegionMap:
        """The map with each pixel repeated `factor` times in both directions."""
        return replace(self, index=self.index.repeat(factor, axis=0).repeat(factor, axis=1))


def _without_gaps(ids: np.ndarray, known: list[int]) -> np.ndarray:
    """[H, W] int32: 0 for void, n for the n-th of the ascending `known` ids."""
    if ids.ndim != 2 or not ids.size or not np.issubdtype(ids.dtype, np.integer):
        raise DataError(f"expected ids [H, W] of whole numbers, got {ids.dtype} {list(ids.shape)}")
    if len(set(known)) < len(known) or min(known, default=1) <= VOID_ID:
        raise DataError(f"expected segments with ids of their own above 0, got {known!r:.200}")
    if ids.min() < VOID_ID:
        raise DataError(f"expected ids from 0, got {ids.min()}")
    # Zeroed memory costs nothing until touched, so that ids up to 2^24 are no burden.
    table = np.zeros(max([int(ids.max()), *known]) + 1, np.int32)
    table[known] = np.arange(1, len(known) + 1)
    index = table[ids]
    unknown = (index == 0) & (ids != VOID_ID)
    if unknown.any():
        y, x = np.argwhere(unknown)[0]
        raise DataError(f"id {ids[y, x]} at pixel (y {y}, x {x}) has no segment")
    return index


def _region(segment: Segment, instance: int, info: DatasetInfo) -> Region:
    category = category_of(segment.category, info)
    is_thing = category.is_thing if segment.is_thing is None else segment.is_thing
    is_instance = is_thing and not segment.iscrowd
    shade = instance if segment.track_id is None else segment.track_id - 1
    return Region(
        category.name,
        segment.category,
        is_thing,
        segment.iscrowd,
        segment.score,
        segment.track_id,
        instance_color(segment.category, shade, info) if is_instance else category.color,
    )


def thing_outlines(region_map: RegionMap, thickness: int = 1) -> np.ndarray:
    """[H, W] bool: the pixels of things beside another region, dilated to `thickness`.

    Each of two touching instances has its own line; the border of the image has none.
    """
    index = region_map.index
    edge = np.zeros(index.shape, bool)
    for near, far in (
        ((slice(1, None), slice(None)), (slice(None, -1), slice(None))),
        ((slice(None), slice(1, None)), (slice(None), slice(None, -1))),
    ):
        differ = index[near] != index[far]
        edge[near] |= differ
        edge[far] |= differ
    edge &= region_map.is_thing[index]
    if thickness == 1:
        return edge
    return cv2.dilate(edge.view(np.uint8), np.ones((thickness, thickness), np.uint8)).view(bool)
