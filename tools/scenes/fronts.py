"""What closes the view: the fronts along both sides, and woods and houses at the far end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from random import Random

from scenes.camera import Camera
from scenes.furniture import hedge, tree
from scenes.painting import Face, Item, as_details
from scenes.street import CROSS_WIDTH, FAR, Layout, Side
from scenes.weather import TO_CAMERA, UP, Color, Weather, mix, vary


@dataclass(frozen=True)
class Stretch:
    """A piece of one side's front: meters from `start` to `end` along z."""

    side: Side
    start: float
    end: float

    def along(self, fraction: float) -> float:
        """z at a fraction (0..1) of the stretch."""
        return self.start + (self.end - self.start) * fraction

    def panel(
        self, z0: float, z1: float, y0: float, y1: float, camera: Camera, away: float = 0.0
    ) -> list[tuple[float, float]]:
        """Image points of a rectangle on the front, or on a plane `away` meters behind it."""
        x = self.side.sign * (self.side.front + away)
        return camera.project_all(((x, y0, z0), (x, y1, z0), (x, y1, z1), (x, y0, z1)))

    @property
    def normal(self) -> tuple[float, float, float]:
        """Out of the front, toward the street."""
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
    fractions = [i / 6 for i in range(7)]
    for low, high in reversed(list(pairwise(fractions))):
        z0, z1 = stretch.along(low), stretch.along(high)
        color = weather.shade(plaster, stretch.normal, z0)
        faces.append(Face(stretch.panel(z0, z1, 0, height, camera), color))
        shade = weather.shade(roof, (*stretch.normal[:1], 0.8, 0), z0)
        faces.append(Face(stretch.panel(z0, z1, height, height + 1.6, camera), shade))
    faces += as_details(_front_details(stretch, floors, height, plaster, camera, weather, random))
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
    random = Random(random.getrandbits(64))  # windows too small to see draw nothing
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
        left, right = (stretch.panel(z, z, 0, 1, camera.at_start)[0][0] for z in (z0, z1))
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


# Kind of front -> (how often, meters along the street).
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
        plan, z = [], min(1.6, camera.nearest_ground())
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
    z = FAR + 5
    woods = -camera.reach(z), camera.reach(z), z, random.uniform(8, 13)
    items = [hedge(*woods, camera, weather, random)]
    x = -110.0
    while x < 110:
        width, height = random.uniform(12, 24), random.uniform(8, 20)
        if random.random() < 0.45 and not (x + width > -8 and x < 6):
            color = weather.shade(vary(random.choice(_PLASTER), random), TO_CAMERA, FAR)
            corners = ((x, 0), (x, height), (x + width, height), (x + width, 0))
            points = camera.project_all((u, v, FAR) for u, v in corners)
            items.append(Item("building", [Face(points, color)], "plaster"))
        x += width
    return items
