"""A pinhole camera above a flat street.

World points are (x, y, z) in meters: x to the right of the camera, y up from the ground, z ahead.
Image points are (x, y) in pixels, as Cityscapes' polygons and PIL have them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from random import Random

WorldPoint = tuple[float, float, float]
ImagePoint = tuple[float, float]

CLIP = 0.3
"""Meters ahead of the camera to which all that is nearer, or behind it, is moved.

Along a plane that runs in the camera's direction, such as a front or the ground, that is exact.
"""


@dataclass(frozen=True)
class Camera:
    """A camera that looks along z.

    Attributes:
        size: (height, width) of the image in pixels.
        focal: focal length in pixels.
        center: (x, y) in pixels, where z vanishes; y is the horizon.
        mount: meters from the ground to the lens.
        x, z: meters that it has moved to the right and ahead.
    """

    size: tuple[int, int]
    focal: float
    center: ImagePoint
    mount: float
    x: float = 0.0
    z: float = 0.0

    def moved(self, dx: float, dz: float) -> Camera:
        """The same camera, meters to the right and ahead of here."""
        return replace(self, x=self.x + dx, z=self.z + dz)

    @property
    def at_start(self) -> Camera:
        """The same camera before it moved."""
        return replace(self, x=0.0, z=0.0)

    def depth(self, z: float) -> float:
        """Meters from the camera to a z > 0, at least `CLIP` once it moves."""
        return max(z - self.z, min(z, CLIP))

    def project(self, point: WorldPoint) -> ImagePoint:
        """Where a point with z > 0 appears, in pixels."""
        x, y, z = point
        scale = self.focal / self.depth(z)
        return self.center[0] + (x - self.x) * scale, self.center[1] + (self.mount - y) * scale

    def project_all(self, points: Iterable[WorldPoint]) -> list[ImagePoint]:
        """`project` for each point."""
        return [self.project(point) for point in points]

    def pixels(self, meters: float, z: float) -> float:
        """How many pixels a length across the view takes at a distance."""
        return meters * self.focal / self.depth(z)

    def reach(self, z: float) -> float:
        """Meters to each side that surely leave the image at a distance."""
        return z * self.size[1] / self.focal

    def nearest_ground(self) -> float:
        """Meters from which to paint the ground, so that it reaches the image's lower border."""
        return 0.9 * self.focal * self.mount / (self.size[0] - self.center[1])

    @classmethod
    def random(cls, height: int, width: int, random: Random) -> Camera:
        """A camera in a car: slightly different in each scene, in proportion to the image."""
        return cls(
            (height, width),
            focal=random.uniform(0.78, 0.95) * min(width, 2 * height),
            center=(random.uniform(0.42, 0.58) * width, random.uniform(0.36, 0.46) * height),
            mount=random.uniform(1.5, 2.1),
        )
