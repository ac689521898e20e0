"""Vehicles as the camera sees them: bodies swept across their width, with details on them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

from scenes.camera import Camera, WorldPoint
from scenes.painting import Face, Item
from scenes.vehicle_shapes import KINDS, LAMPS, MATERIALS, Outline, Shape, Solid, circle
from scenes.weather import Color, Weather, vary


@dataclass(frozen=True)
class Pose:
    """Where a vehicle stands: its middle in meters, `yaw` 0 when it drives away from us."""

    x: float
    z: float
    yaw: float

    @property
    def forward(self) -> tuple[float, float]:
        """(x, z) of the way it looks."""
        return math.sin(self.yaw), math.cos(self.yaw)

    def to_world(self, along: float, y: float, across: float) -> WorldPoint:
        """From the middle of the vehicle to the world."""
        (fx, fz) = self.forward
        return self.x + along * fx + across * fz, y, self.z + along * fz - across * fx


@dataclass(frozen=True)
class Vehicle:
    """A vehicle in the street."""

    shape: Shape
    pose: Pose
    materials: Mapping[str, Color]

    @classmethod
    def random(cls, kind: str, pose: Pose, random: Random, avoid: Color | None = None) -> Vehicle:
        """One of a kind, in a color other than `avoid` where the kind has several."""
        shape = random.choice(KINDS[kind])
        colors = [color for color in shape.colors if color != avoid] or list(shape.colors)
        return cls(shape, pose, MATERIALS | {"body": random.choice(colors)})

    def corners(self) -> list[WorldPoint]:
        """The four corners of its ground."""
        length, width = self.shape.length / 2, self.shape.width / 2
        signs = ((-1, -1), (-1, 1), (1, 1), (1, -1))
        return [self.pose.to_world(i * length, 0, j * width) for i, j in signs]

    def items(self, camera: Camera, weather: Weather, random: Random) -> list[Item]:
        """The vehicle and, near by, its number plate."""
        view = _View(
            self, camera, weather, {m: vary(c, random, 4) for m, c in self.materials.items()}
        )
        items = [Item(self.shape.label, view.faces(), single=True)]
        plate = view.plate()
        if plate is not None:
            items.append(Item("license plate", [plate], single=True))
        return items


@dataclass(frozen=True)
class _View:
    """A vehicle as one camera sees it."""

    vehicle: Vehicle
    camera: Camera
    weather: Weather
    materials: Mapping[str, Color]

    def faces(self) -> list[Face]:
        """All visible faces, in painting order."""
        shape, faces = self.vehicle.shape, []
        for solid in sorted(shape.solids, key=self._depth, reverse=True):
            faces += self._sweep(solid)
        for details, along, sense in ((shape.rear, 0.0, -1), (shape.front, shape.length, 1)):
            if self._end_visible(along, sense):
                faces += [self._end_detail(detail, along, sense) for detail in details]
        for sense in (-1, 1):
            if self._side_visible(sense):
                faces += self._side(sense)
        return [face for face in faces if face is not None]

    def plate(self) -> Face | None:
        """The number plate's own polygon, where it is large enough to be annotated."""
        shape = self.vehicle.shape
        for details, along, sense in ((shape.rear, 0.0, -1), (shape.front, shape.length, 1)):
            if self._end_visible(along, sense):
                for detail in details:
                    if detail[0] == "plate" and self.vehicle.pose.z < 14:
                        face = self._end_detail(detail, along, sense)
                        return face._replace(in_outline=True)
        return None

    def _world(self, along: float, y: float, across: float) -> WorldPoint:
        return self.vehicle.pose.to_world(along - self.vehicle.shape.length / 2, y, across)

    def _normal(self, along: float, y: float, across: float) -> WorldPoint:
        fx, fz = self.vehicle.pose.forward
        return along * fx + across * fz, y, along * fz - across * fx

    def _depth(self, solid: Solid) -> float:
        ends = [a for a, _ in solid.profile]
        return self._world((min(ends) + max(ends)) / 2, 0, 0)[2]

    def _faces_camera(self, point: WorldPoint, normal: WorldPoint) -> bool:
        x, y, z = point
        to_camera = (self.camera.x - x, self.camera.mount - y, self.camera.z - z)
        return sum(a * b for a, b in zip(normal, to_camera, strict=True)) > 0

    def _end_visible(self, along: float, sense: int) -> bool:
        return self._faces_camera(self._world(along, 1, 0), self._normal(sense, 0, 0))

    def _side_visible(self, sense: int) -> bool:
        half = self.vehicle.shape.width / 2
        middle = self._world(self.vehicle.shape.length / 2, 1, sense * half)
        return self._faces_camera(middle, self._normal(0, 0, sense))

    def _face(
        self, points: Sequence[WorldPoint], material: str, normal: WorldPoint, in_outline: bool
    ) -> Face:
        color, depth = self.materials[material], points[0][2]
        shaded = (
            self.weather.through_air(color, depth)
            if material in LAMPS
            else self.weather.shade(color, normal, depth)
        )
        return Face(self.camera.project_all(points), shaded, in_outline)

    def _sweep(self, solid: Solid) -> list[Face]:
        """The strips across the body, then the side one sees."""
        half = self.vehicle.shape.width / 2
        corners = list(zip(solid.profile, solid.profile[1:] + solid.profile[:1], strict=True))
        strips = []
        for (start, end), material in zip(corners, solid.materials, strict=True):
            normal = self._normal(start[1] - end[1], end[0] - start[0], 0)
            quad = [
                self._world(*p, s)
                for p, s in ((start, -half), (start, half), (end, half), (end, -half))
            ]
            if self._faces_camera(quad[0], normal):
                strips.append((max(p[2] for p in quad), quad, material, normal, (start, end)))
        faces = []
        for _, quad, material, normal, (start, end) in sorted(strips, key=lambda s: -s[0]):
            frame = "body" if material == "glass" else material
            faces.append(self._face(quad, frame, normal, True))
            if material == "glass":
                faces.append(self._face(self._pane(start, end), material, normal, False))
        for sense in (-1, 1):
            if self._side_visible(sense):
                side = [self._world(a, y, sense * half) for a, y in solid.profile]
                faces.append(self._face(side, solid.paint, self._normal(0, 0, sense), True))
        return faces

    def _pane(self, start: tuple[float, float], end: tuple[float, float]) -> list[WorldPoint]:
        """A window within a strip, framed by the body."""
        half = 0.86 * self.vehicle.shape.width / 2
        low = tuple(a + 0.1 * (b - a) for a, b in zip(start, end, strict=True))
        high = tuple(a + 0.9 * (b - a) for a, b in zip(start, end, strict=True))
        return [
            self._world(*p, s) for p, s in ((low, -half), (low, half), (high, half), (high, -half))
        ]

    def _end_detail(self, detail: tuple[str, Outline], along: float, sense: int) -> Face:
        material, outline = detail
        points = [self._world(along, y, s) for s, y in outline]
        return self._face(points, material, self._normal(sense, 0, 0), False)

    def _side(self, sense: int) -> list[Face]:
        shape, half = self.vehicle.shape, sense * self.vehicle.shape.width / 2
        normal = self._normal(0, 0, sense)
        faces = [
            self._face([self._world(a, y, half) for a, y in outline], material, normal, False)
            for material, outline in shape.side
        ]
        for a, radius in shape.wheels:
            for material, fraction in (("tire", 1.0), ("rim", 0.55)):
                rim = [self._world(p, y, half) for p, y in circle(a, radius, radius * fraction)]
                faces.append(self._face(rim, material, normal, material == "tire"))
        return faces


def shadow_of(corners: Sequence[WorldPoint], height: float, weather: Weather) -> list[WorldPoint]:
    """Corners on the ground of the shadow of a box: its foot and where the sun throws its top."""
    reach = min(1.2, height / max(weather.sun[1], 0.3)) * 0.5
    dx, dz = -weather.sun[0] * reach, -weather.sun[2] * reach
    middle_x = sum(p[0] for p in corners) / len(corners)
    middle_z = sum(p[2] for p in corners) / len(corners)
    return [
        (
            middle_x + (x - middle_x) * 1.08 + dx,
            0.0,
            max(1.5, middle_z + (z - middle_z) * 1.04 + dz),
        )
        for x, _, z in corners
    ]
