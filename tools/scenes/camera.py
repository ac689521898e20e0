"""A pinhole camera above a flat street.

World points are (x, y, z) in meters: x to the right of the camera, y up from the ground, z ahead.
Image points are (x, y) in pixels, as Cityscapes' polygons and PIL have them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from random import Random

WorldPoint = tuple[float, float, float]
ImagePoint = tuple[float, float]


@dataclass(frozen=True)
class Camera:
    """A camera that looks along z.

    Attributes:
        size: (height, width) of the image in pixels.
        focal: focal length in pixels.
        center: (x, y) in pixels, where z vanishes; y is the horizon.
        mount: meters from the ground to the lens.
    """

    size: tuple[int, int]
    focal: float
    center: ImagePoint
    mount: float

    def project(self, point: WorldPoint) -> ImagePoint:
        """Where a point with z > 0 appears, in pixels."""
        x, y, z = point
        scale = self.focal / z
        return self.center[0] + x * scale, self.center[1] + (self.mount - y) * scale

    def project_all(self, points: Iterable[WorldPoint]) -> list[ImagePoint]:
        """`project` for each point."""
        return [self.project(point) for point in points]

    def pixels(self, meters: float, z: float) -> float:
        """How many pixels a length across the view takes at a distance."""
        return meters * self.focal / z

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
