"""The plan of a street, its ground, and the sky above."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from random import Random

from scenes.camera import Camera
from scenes.painting import Face, Item, as_details
from scenes.vehicle_shapes import circle
from scenes.weather import UP, Color, Weather, mix, vary

FAR = 130.0
"""Meters at which the street ends."""
LANE = 3.3
"""Meters from one lane to the next; ours has its middle at x = 0."""
CROSS_WIDTH = 9.0
"""Meters across the street that crosses."""


@dataclass(frozen=True)
class Side:
    """One side of the street; distances are meters from the camera's x = 0, positive.

    Attributes:
        sign: -1 left, 1 right.
        lanes: outer border of the moving traffic.
        curb: end of the road; between `lanes` and it cars may park.
        walk: end of the sidewalk.
        front: where buildings, walls and fences stand; grass from `walk` to it.
    """

    sign: int
    lanes: float
    curb: float
    walk: float
    front: float

    @property
    def parking(self) -> bool:
        """Whether cars may park here."""
        return self.curb - self.lanes > 1.5


@dataclass(frozen=True)
class Layout:
    """The plan of a scene.

    Attributes:
        left, right: its sides.
        junction: z at which a street crosses, or None.
        track: x of a tram track, or None.
    """

    left: Side
    right: Side
    junction: float | None
    track: float | None

    @property
    def sides(self) -> tuple[Side, Side]:
        """Left, then right."""
        return self.left, self.right

    @classmethod
    def random(cls, random: Random) -> Layout:
        """A street of two to four lanes, sometimes with a track."""
        track = random.choice(("left", "right")) if random.random() < 0.72 else None
        left = LANE / 2 + LANE + (LANE if track == "left" else 0)
        right = LANE / 2 + (LANE if track == "right" else 0)
        middle = {"left": -2 * LANE, "right": LANE, None: None}[track]
        junction = random.uniform(17, 34) if random.random() < 0.6 else None
        return cls(_side(-1, left, random), _side(1, right, random), junction, middle)


def _side(sign: int, lanes: float, random: Random) -> Side:
    curb = lanes + (2.3 if random.random() < 0.68 else 0.3)
    walk = curb + random.uniform(2.4, 5.0)
    front = walk + (random.uniform(2.0, 6.0) if random.random() < 0.5 else 0.1)
    return Side(sign, lanes, curb, walk, front)


def sky(camera: Camera, weather: Weather, random: Random) -> Item:
    """From the top to below the horizon; everything else is painted over it."""
    height, width = camera.size
    end, faces, bands = min(height, camera.center[1] * 1.2), [], 28
    for i in range(bands):
        top, bottom = end * i / bands, end * (i + 1) / bands + 1
        color = mix(weather.sky[1], weather.sky[0], (i / (bands - 1)) ** 0.8)
        faces.append(Face(((0, top), (width, top), (width, bottom), (0, bottom)), color))
    cloud = mix(weather.sky[0], (255, 255, 255), 0.45)
    for _ in range(weather.clouds):
        x, y = random.uniform(0, width), random.uniform(0.02, 0.7) * camera.center[1]
        size = random.uniform(0.02, 0.05) * width
        for _ in range(7):
            u, v = random.gauss(0, 1.6 * size), random.gauss(0, 0.3 * size)
            radius = size * random.uniform(0.3, 0.7)
            puff = [(p, y + v + (q - y - v) * 0.55) for p, q in circle(x + u, y + v, radius)]
            faces.append(Face(puff, mix(cloud, weather.sky[1], random.uniform(0, 0.3)), False))
    return Item("sky", faces)


def ground_strip(
    x0: float, x1: float, z0: float, z1: float, color: Color, camera: Camera, weather: Weather
) -> list[Face]:
    """A rectangle on the ground, in slices that pale with distance."""
    slices = max(
        1, min(16, int(camera.pixels(camera.mount, z0) - camera.pixels(camera.mount, z1)) // 3)
    )
    depths = [1 / (1 / z0 + (1 / z1 - 1 / z0) * i / slices) for i in range(slices + 1)]
    faces = []
    for near, far in pairwise(depths):
        corners = ((x0, 0.0, near), (x0, 0.0, far), (x1, 0.0, far), (x1, 0.0, near))
        shade = weather.shade(color, UP, (near + far) / 2)
        faces.append(Face(camera.project_all(corners), shade))
    return faces


def ground(layout: Layout, camera: Camera, weather: Weather, random: Random) -> list[Item]:
    """Grass, sidewalks, the road with its markings and the track, in this order."""
    near = camera.nearest_ground()
    grass = vary((136, 160, 70), random, 8)
    paving = vary(random.choice(((186, 176, 168), (196, 184, 170), (178, 170, 172))), random, 6)
    asphalt = vary(random.choice(((92, 92, 98), (104, 104, 108), (82, 84, 90))), random, 6)
    # Each lies on a wider one, so that nothing shows through the joints.
    wide = camera.reach(FAR)
    turf = ground_strip(-wide, wide, near, FAR, grass, camera, weather)
    ends = -layout.left.walk, layout.right.walk
    walk = ground_strip(*ends, near, FAR, paving, camera, weather)
    for side in layout.sides:
        walk += _sidewalk_details(side, paving, camera, weather)
    road = ground_strip(-layout.left.curb, layout.right.curb, near, FAR, asphalt, camera, weather)
    if layout.junction is not None:
        ends = layout.junction, layout.junction + CROSS_WIDTH
        road += ground_strip(-wide, wide, *ends, asphalt, camera, weather)
    road += as_details(_markings(layout, camera, weather, random))
    items = [
        Item("terrain", turf, "grass"),
        Item("sidewalk", walk, "paving"),
        Item("road", road, "asphalt"),
    ]
    if layout.track is not None:
        for x in (layout.track - 0.72, layout.track + 0.72):
            rail = ground_strip(x - 0.08, x + 0.08, near, 70, (74, 70, 70), camera, weather)
            items.append(Item("rail track", rail))
    return items


def _sidewalk_details(side: Side, paving: Color, camera: Camera, weather: Weather) -> list[Face]:
    """Joints between the slabs, and the curbstones."""
    dark, pale = mix(paving, (80, 76, 74), 0.3), mix(paving, (240, 240, 236), 0.5)
    inner, outer = side.sign * side.curb, side.sign * side.walk
    faces = []
    for i in range(14):
        z = 3.0 + 1.5 * i
        faces += ground_strip(inner, outer, z, z + 0.05 * (1 + z / 8), dark, camera, weather)
    near, stone = camera.nearest_ground(), inner + 0.2 * side.sign
    faces += ground_strip(inner, stone, near, FAR, pale, camera, weather)
    return as_details(faces)


def _markings(layout: Layout, camera: Camera, weather: Weather, random: Random) -> list[Face]:
    white: Color = (226, 226, 222)
    faces: list[Face] = []

    def line(x: float, z0: float, z1: float, width: float = 0.14) -> None:
        wide = max(width, 0.7 / camera.pixels(1.0, z0))
        faces.extend(ground_strip(x - wide / 2, x + wide / 2, z0, z1, white, camera, weather))

    start = random.uniform(0, 4)
    borders = [-LANE / 2]
    if layout.track is not None:
        borders.append(layout.track + math.copysign(LANE / 2, -layout.track))
    for x in borders:
        for i in range(9):
            z = 2.0 + start + 6 * i
            if (
                layout.junction is None
                or not layout.junction - 6 < z < layout.junction + CROSS_WIDTH
            ):
                line(x, z, z + 3)
    for side in layout.sides:
        if side.parking:
            line(
                side.sign * side.lanes,
                camera.nearest_ground(),
                layout.junction - 6 if layout.junction else 60,
                0.1,
            )
    if layout.junction is not None:
        faces += ground_strip(-LANE / 2, layout.right.lanes, layout.junction - 4.6,
                              layout.junction - 4.1, white, camera, weather)  # fmt: skip
        x = -layout.left.curb + 0.5
        while x < layout.right.curb - 0.5:
            z = layout.junction - 3.4
            faces += ground_strip(x, x + 0.5, z, z + 2.6, white, camera, weather)
            x += 1.05
    return faces
