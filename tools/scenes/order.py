"""Who stands before whom."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

from scenes.camera import Camera, WorldPoint


@dataclass(frozen=True)
class Footprint:
    """The ground that something takes, in meters."""

    x0: float
    x1: float
    z0: float
    z1: float

    @classmethod
    def around(cls, x: float, z: float, half_width: float, half_depth: float) -> Footprint:
        """The rectangle around a point."""
        return cls(x - half_width, x + half_width, z - half_depth, z + half_depth)

    @classmethod
    def of(cls, corners: Sequence[WorldPoint]) -> Footprint:
        """The rectangle around points on the ground."""
        xs, zs = [p[0] for p in corners], [p[2] for p in corners]
        return cls(min(xs), max(xs), min(zs), max(zs))

    def overlaps(self, other: Footprint, gap: float = 0.0) -> bool:
        """Whether less than `gap` meters lie between the two (negative: they may overlap)."""
        return (
            self.x0 < other.x1 + gap
            and other.x0 < self.x1 + gap
            and self.z0 < other.z1 + gap
            and other.z0 < self.z1 + gap
        )

    def seen_from(self, camera: Camera) -> Footprint:
        """In meters from a camera; what is beside or behind it ends just before it."""
        return Footprint(
            self.x0 - camera.x, self.x1 - camera.x, camera.depth(self.z0), camera.depth(self.z1)
        )

    def slopes(self) -> tuple[float, float]:
        """Smallest and largest x / z, the part of the view that it takes."""
        low = self.x0 / (self.z1 if self.x0 > 0 else self.z0)
        high = self.x1 / (self.z0 if self.x1 > 0 else self.z1)
        return low, high

    def entry(self, slope: float) -> float:
        """z at which a ray of a slope that crosses it gets in."""
        if slope > 0:
            return max(self.z0, self.x0 / slope)
        if slope < 0:
            return max(self.z0, self.x1 / slope)
        return self.z0


def far_to_near(footprints: Sequence[Footprint]) -> list[int]:
    """An order in which nothing is painted over by what stands behind it.

    Of two that share a line of sight the one that it meets first is in front. Where crowns and
    arms reach over each other that may be circular; then the farther goes first.
    """
    behind: list[list[int]] = [[] for _ in footprints]
    waiting = [0] * len(footprints)
    slopes = [footprint.slopes() for footprint in footprints]
    for i, first in enumerate(footprints):
        for j in range(i):
            low = max(slopes[i][0], slopes[j][0])
            high = min(slopes[i][1], slopes[j][1])
            if low < high:
                ray = (low + high) / 2
                front, back = (i, j) if first.entry(ray) < footprints[j].entry(ray) else (j, i)
                behind[back].append(front)
                waiting[front] += 1
    ready = [(-footprints[i].z0, i) for i, count in enumerate(waiting) if not count]
    left = set(range(len(footprints)))
    heapq.heapify(ready)
    order: list[int] = []
    while left:
        i = heapq.heappop(ready)[1] if ready else max(left, key=lambda k: (footprints[k].z0, k))
        if i not in left:
            continue
        left.remove(i)
        order.append(i)
        for j in behind[i]:
            waiting[j] -= 1
            if not waiting[j]:
                heapq.heappush(ready, (-footprints[j].z0, j))
    return order
