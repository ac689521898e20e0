"""What does not move: sky, ground and the fronts along both sides."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from scenes.camera import Camera
from scenes.furniture import hedge, tree
from scenes.painting import Face, Item
from scenes.vehicles import circle
from scenes.weather import TO_CAMERA, UP, Color, Weather, mix, vary

FAR = 130.0
"""Metres at which the street ends."""
NEAR = 1.2
LANE = 3.3


@dataclass(frozen=True)
class Side:
    """One side of the street; distances are metres from the camera's x = 0, positive.

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


CROSS_WIDTH = 9.0


def _side(sign: int, lanes: float, random: Random) -> Side:
    curb = lanes + (2.3 if random.random() < 0.6 else 0.3)
    walk = curb + random.uniform(2.4, 5.0)
    front = walk + (random.uniform(2.0, 6.0) if random.random() < 0.5 else 0.1)
    return Side(sign, lanes, curb, walk, front)


def sky(camera: Camera, weather: Weather, random: Random) -> Item:
    """The whole picture; everything else is painted over it."""
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
    slices = max(1, min(16, int(camera.pixels(camera.mount, z0) - camera.pixels(camera.mount, z1)) // 3))
    depths = [1 / (1 / z0 + (1 / z1 - 1 / z0) * i / slices) for i in range(slices + 1)]
    faces = []
    for near, far in zip(depths, depths[1:], strict=False):
        corners = ((x0, 0.0, near), (x0, 0.0, far), (x1, 0.0, far), (x1, 0.0, near))
        shade = weather.shade(color, UP, (near + far) / 2)
        faces.append(Face(camera.project_all(corners), shade))
    return faces


def ground(layout: Layout, camera: Camera, weather: Weather, random: Random) -> list[Item]:
    """Grass, sidewalks, the road with its markings and the track, in this order."""
    grass = vary((136, 160, 70), random, 8)
    paving = vary(random.choice(((186, 176, 168), (196, 184, 170), (178, 170, 172))), random, 6)
    asphalt = vary(random.choice(((92, 92, 98), (104, 104, 108), (82, 84, 90))), random, 6)
    items = []
    for side in layout.sides:
        far_out = side.sign * 90
        grassy = ground_strip(side.sign * side.walk, far_out, NEAR, FAR, grass, camera, weather)
        items.append(Item("terrain", grassy, "grass"))
        inner, outer = side.sign * side.curb, side.sign * side.walk
        walk = ground_strip(inner, outer, NEAR, FAR, paving, camera, weather)
        walk += _paving_joints(side, paving, camera, weather)
        walk += _flat(ground_strip(inner, inner + 0.2 * side.sign, NEAR, FAR,
                                   mix(paving, (240, 240, 236), 0.5), camera, weather))  # fmt: skip
        items.append(Item("sidewalk", walk, "paving"))
    road = ground_strip(-layout.left.curb, layout.right.curb, NEAR, FAR, asphalt, camera, weather)
    if layout.junction is not None:
        ends = layout.junction, layout.junction + CROSS_WIDTH
        road += ground_strip(-90, 90, *ends, asphalt, camera, weather)
    road += _flat(_markings(layout, camera, weather, random))
    items.append(Item("road", road, "asphalt"))
    if layout.track is not None:
        for x in (layout.track - 0.72, layout.track + 0.72):
            rail = ground_strip(x - 0.08, x + 0.08, NEAR, 70, (74, 70, 70), camera, weather)
            items.append(Item("rail track", rail))
    return items


def _flat(faces: Sequence[Face]) -> list[Face]:
    """The same as details, which do not shape the outline."""
    return [face._replace(in_outline=False) for face in faces]


def _paving_joints(side: Side, paving: Color, camera: Camera, weather: Weather) -> list[Face]:
    dark, faces = mix(paving, (80, 76, 74), 0.3), []
    for i in range(14):
        z = 3.0 + 1.5 * i
        ends = side.sign * side.curb, side.sign * side.walk
        faces += ground_strip(*ends, z, z + 0.05 * (1 + z / 8), dark, camera, weather)
    return _flat(faces)


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
            if layout.junction is None or not layout.junction - 6 < z < layout.junction + CROSS_WIDTH:
                line(x, z, z + 3)
    for side in layout.sides:
        if side.parking:
            line(side.sign * side.lanes, NEAR, layout.junction - 6 if layout.junction else 60, 0.1)
    if layout.junction is not None:
        faces += ground_strip(-LANE / 2, layout.right.lanes, layout.junction - 4.6,
                              layout.junction - 4.1, white, camera, weather)  # fmt: skip
        x = -layout.left.curb + 0.5
        while x < layout.right.curb - 0.5:
            z = layout.junction - 3.4
            faces += ground_strip(x, x + 0.5, z, z + 2.6, white, camera, weather)
            x += 1.05
    return faces


@dataclass(frozen=True)
class Stretch:
    """A piece of one side's front: metres from `start` to `end` along z."""

    side: Side
    start: float
    end: float

    def along(self, share: float) -> float:
        """z at a share (0..1) of the stretch."""
        return self.start + (self.end - self.start) * share

    def panel(
        self, z0: float, z1: float, y0: float, y1: float, camera: Camera, away: float = 0.0
    ) -> list[tuple[float, float]]:
        """Image points of a rectangle on the front, or on a plane `away` metres behind it."""
        x = self.side.sign * (self.side.front + away)
        return camera.project_all(((x, y0, z0), (x, y1, z0), (x, y1, z1), (x, y0, z1)))

    @property
    def normal(self) -> tuple[float, float, float]:
        return -float(self.side.sign), 0.0, 0.0


Builder = Callable[[Stretch, Camera, Weather, Random], list[Item]]

_PLASTER: tuple[Color, ...] = (
    (198, 174, 142), (172, 112, 88), (206, 196, 178), (150, 138, 132), (186, 150, 112),
    (176, 164, 160), (200, 160, 140), (158, 120, 100),
)  # fmt: skip


def building(stretch: Stretch, camera: Camera, weather: Weather, random: Random) -> list[Item]:
    """A house: its front with windows, a shop or a door, a roof, and the end that one sees."""
    floors = random.randint(3, 6)
    height, plaster = 3.1 * floors + 0.9, vary(random.choice(_PLASTER), random, 8)
    roof = vary(random.choice(((120, 62, 50), (84, 82, 86), (100, 74, 62))), random, 8)
    faces = _gable(stretch, height, plaster, roof, camera, weather)
    shares = [i / 6 for i in range(7)]
    for low, high in reversed(list(zip(shares, shares[1:], strict=False))):
        z0, z1 = stretch.along(low), stretch.along(high)
        color = weather.shade(plaster, stretch.normal, z0)
        faces.append(Face(stretch.panel(z0, z1, 0, height, camera), color))
        shade = weather.shade(roof, (*stretch.normal[:1], 0.8, 0), z0)
        faces.append(Face(stretch.panel(z0, z1, height, height + 1.6, camera), shade))
    faces += _flat(_front_details(stretch, floors, height, plaster, camera, weather, random))
    return [Item("building", faces, "plaster")]


def _gable(
    stretch: Stretch, height: float, plaster: Color, roof: Color, camera: Camera, weather: Weather
) -> list[Face]:
    z, inner, outer = stretch.start, stretch.side.front, stretch.side.front + 14
    faces = []
    for low, high, color in ((0, height, plaster), (height, height + 1.6, roof)):
        corners = ((inner, low), (inner, high), (outer, high), (outer, low))
        points = camera.project_all((stretch.side.sign * x, y, z) for x, y in corners)
        faces.append(Face(points, weather.shade(color, TO_CAMERA, z)))
    return faces


def _front_details(
    stretch: Stretch, floors: int, height: float, plaster: Color,
    camera: Camera, weather: Weather, random: Random,
) -> list[Face]:  # fmt: skip
    """Windows, the ground floor's shop and the ledges between the floors."""
    bays = max(2, int((stretch.end - stretch.start) / 2.8))
    frame = mix(plaster, (250, 248, 240), 0.55)
    shop = random.random() < 0.55
    awning = random.choice(((150, 40, 46), (40, 84, 70), (60, 70, 120), (196, 150, 60)))
    faces: list[Face] = []

    def panel(z0: float, z1: float, y0: float, y1: float, color: Color) -> None:
        shade = weather.shade(color, stretch.normal, z0)
        faces.append(Face(stretch.panel(z0, z1, y0, y1, camera), shade))

    panel(stretch.start, stretch.end, height - 0.3, height, frame)
    panel(stretch.start, stretch.end, 3.15, 3.35, mix(plaster, (90, 80, 74), 0.35))
    for bay in reversed(range(bays)):
        z0, z1 = stretch.along((bay + 0.24) / bays), stretch.along((bay + 0.76) / bays)
        left, right = (stretch.panel(z, z, 0, 1, camera)[0][0] for z in (z0, z1))
        if abs(left - right) < 1.0:
            continue
        for floor in range(1, floors):
            y = 3.1 * floor + 1.1
            panel(z0 - 0.12, z1 + 0.12, y - 0.12, y + 1.62, frame)
            lamp = random.random() < weather.lit
            if lamp:
                color = weather.through_air((250, 214, 130), z0)
                faces.append(Face(stretch.panel(z0, z1, y, y + 1.5, camera), color))
            else:
                panel(z0, z1, y, y + 1.5, vary((74, 88, 104), random, 8))
        if shop:
            panel(stretch.along((bay + 0.06) / bays), stretch.along((bay + 0.94) / bays), 0.5, 2.6,
                  (64, 72, 82))  # fmt: skip
        elif bay % 3 == 1:
            panel(z0, z1, 0, 2.3, (92, 60, 44))
        else:
            panel(z0, z1, 1.0, 2.4, (74, 88, 104))
    if shop:
        panel(stretch.start, stretch.end, 2.6, 3.1, awning)
    return faces


def wall(stretch: Stretch, camera: Camera, weather: Weather, random: Random) -> list[Item]:
    """A wall of stone blocks, trees behind it."""
    height = random.uniform(2.2, 3.4)
    stone = vary(random.choice(((128, 118, 138), (118, 112, 132))), random, 6)
    faces = []
    count = max(3, int((stretch.end - stretch.start) / 1.6))
    rows = 5
    for i in reversed(range(count)):
        z0, z1 = stretch.along(i / count), stretch.along((i + 1) / count)
        joint = weather.shade(mix(stone, (50, 46, 50), 0.45), stretch.normal, z0)
        faces.append(Face(stretch.panel(z0, z1, 0, height, camera), joint))
        for row in range(rows):
            color = weather.shade(vary(stone, random, 7), stretch.normal, z0)
            gap, y = 0.05, height * row / rows
            block = stretch.panel(z0 + gap, z1 - gap, y + gap, y + height / rows, camera)
            faces.append(Face(block, color, False))
        cap = weather.shade(mix(stone, (230, 226, 226), 0.5), UP, z0)
        faces.append(Face(stretch.panel(z0, z1, height, height + 0.25, camera), cap))
    return [*_garden(stretch, camera, weather, random), Item("wall", faces, "stone")]


def fence(stretch: Stretch, camera: Camera, weather: Weather, random: Random) -> list[Item]:
    """Pickets between two rails, trees behind it."""
    height = random.uniform(1.8, 2.6)
    wood = vary(random.choice(((206, 132, 72), (216, 150, 88), (190, 116, 66))), random, 8)
    backing = weather.shade(mix(wood, (60, 44, 30), 0.62), stretch.normal, stretch.start)
    faces = [Face(stretch.panel(stretch.start, stretch.end, 0.1, height, camera), backing)]
    count = int((stretch.end - stretch.start) / 0.55)
    for i in reversed(range(count)):
        z0, z1 = stretch.along((i + 0.16) / count), stretch.along((i + 0.84) / count)
        color = weather.shade(vary(wood, random, 5), stretch.normal, z0)
        faces.append(Face(stretch.panel(z0, z1, 0.05, height + 0.15, camera), color))
    for y in (0.35, height - 0.35):
        color = weather.shade(mix(wood, (40, 30, 20), 0.35), stretch.normal, stretch.start)
        rail = stretch.panel(stretch.start, stretch.end, y, y + 0.14, camera)
        faces.append(Face(rail, color, False))
    return [*_garden(stretch, camera, weather, random), Item("fence", faces)]


def park(stretch: Stretch, camera: Camera, weather: Weather, random: Random) -> list[Item]:
    """Open grass with trees and bushes."""
    return _garden(stretch, camera, weather, random, bushes=True)


def _garden(
    stretch: Stretch, camera: Camera, weather: Weather, random: Random, bushes: bool = False
) -> list[Item]:
    items = []
    count = max(1, int((stretch.end - stretch.start) / 5))
    for i in reversed(range(count)):
        z = stretch.along((i + random.uniform(0.2, 0.8)) / count)
        away = random.uniform(2.5, 9)
        if z < 4:
            continue
        x = stretch.side.sign * (stretch.side.front + away)
        items += tree(x, z + 1.0, camera, weather, random, random.uniform(0.9, 1.3))
        if bushes and random.random() < 0.5:
            ends = sorted((x - random.uniform(1, 3), x + random.uniform(1, 3)))
            items.append(hedge(*ends, z, random.uniform(0.8, 1.5), camera, weather, random))
    return items


# Kind of front -> (how often, metres along the street).
FRONTS: dict[Builder, tuple[float, tuple[float, float]]] = {
    building: (0.46, (9.0, 17.0)),
    wall: (0.18, (8.0, 16.0)),
    fence: (0.22, (8.0, 16.0)),
    park: (0.14, (8.0, 16.0)),
}


def fronts(layout: Layout, camera: Camera, weather: Weather, random: Random) -> list[Item]:
    """Both sides, the farthest first; a crossing street leaves a gap."""
    items: list[Item] = []
    for side in layout.sides:
        plan, z = [], 1.6
        while z < 95:
            build = random.choices(list(FRONTS), [often for often, _ in FRONTS.values()])[0]
            end = z + random.uniform(*FRONTS[build][1])
            gap = layout.junction
            if gap is not None and z < gap + CROSS_WIDTH + 3 and end > gap - 3:
                end = min(end, gap - 3) if z < gap - 6 else z
            if end > z:
                plan.append((build, Stretch(side, z, end)))
                z = end
            else:
                z = gap + CROSS_WIDTH + 3
        for build, stretch in reversed(plan):
            items += build(stretch, camera, weather, random)
    return items


def backdrop(layout: Layout, camera: Camera, weather: Weather, random: Random) -> list[Item]:
    """What closes the view: woods, and houses before them."""
    items = [hedge(-150, 150, FAR + 5, random.uniform(8, 13), camera, weather, random)]
    x = -110.0
    while x < 110:
        width, height = random.uniform(12, 24), random.uniform(8, 20)
        if random.random() < 0.45 and not (-8 < x + width and x < 6):
            color = weather.shade(vary(random.choice(_PLASTER), random), TO_CAMERA, FAR)
            corners = ((x, 0), (x, height), (x + width, height), (x + width, 0))
            points = camera.project_all((u, v, FAR) for u, v in corners)
            items.append(Item("building", [Face(points, color)], "plaster"))
        x += width
    return items
