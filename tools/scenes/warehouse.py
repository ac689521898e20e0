"""A warehouse, seen by a robot's camera on a mast: an aisle between racks and walls.

Another world than the street: other classes, shapes, colors and light, a camera that looks down.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from random import Random

from panoptic_deeplab.structures import Category, DatasetInfo
from scenes.camera import Camera, WorldPoint
from scenes.files import Job
from scenes.goods import box, height_of, robot
from scenes.order import Footprint, far_to_near
from scenes.own_files import Entries, write_own_scene
from scenes.painting import Face, Item, as_details
from scenes.scene import Scene, paint_scene
from scenes.street import ground_strip
from scenes.vehicles import Pose, Vehicle, shadow_of
from scenes.weather import TO_CAMERA, UP, Color, Weather, mix, vary

INFO = DatasetInfo(
    "warehouse",
    (
        Category("floor", False, (150, 152, 140), 1),
        Category("wall", False, (96, 120, 160), 2),
        Category("shelf", False, (230, 110, 30), 3),
        Category("box", True, (190, 140, 80), 4),
        Category("robot", True, (40, 200, 190), 5),
    ),
)

_NEAR = 1.5
"""Meters ahead of the camera from which racks and walls are painted."""
_ROOF = 14.0
"""Meters; above all that a camera sees."""
_DEPTH = 1.1
"""Meters from the front of a rack to its back."""

_LIGHTS: tuple[Weather, ...] = tuple(
    Weather((0.15, 0.95, -0.27), sunlight, ambient, (air, air), 160.0, shadow, 0.0, 0)
    for sunlight, ambient, air, shadow in (
        ((0.30, 0.32, 0.34), (0.62, 0.65, 0.70), (188, 194, 200), 0.28),
        ((0.40, 0.34, 0.24), (0.60, 0.54, 0.44), (196, 180, 150), 0.32),
        ((0.18, 0.18, 0.20), (0.46, 0.48, 0.54), (112, 118, 130), 0.22),
        ((0.44, 0.43, 0.40), (0.66, 0.66, 0.66), (222, 222, 216), 0.36),
    )
)
"""Tubes, sodium lamps, half the lamps off, daylight through the roof."""


@dataclass(frozen=True)
class _Side:
    """One side of the aisle.

    Attributes:
        sign: -1 left, 1 right.
        front: meters from the middle of the aisle to the racks, or to the wall without them.
        bays: z at the borders between the bays of a rack, ascending; empty without one.
        levels: heights of its decks, ascending; the last is its top.
    """

    sign: int
    front: float
    bays: tuple[float, ...]
    levels: tuple[float, ...]

    @property
    def wall(self) -> float:
        """x of the wall."""
        return self.sign * (self.front + (_DEPTH + 0.3 if self.bays else 0.0))

    @classmethod
    def random(cls, sign: int, end: float, racks: bool, random: Random) -> _Side:
        """A side of an aisle that is `end` meters long."""
        front = random.uniform(1.7, 2.8)
        if not racks:
            return cls(sign, front + random.uniform(0.0, 1.0), (), ())
        first = _NEAR if random.random() < 0.6 else random.uniform(3.0, 6.0)
        pitch = random.uniform(2.2, 3.0)
        count = max(1, int((end - random.uniform(0.2, 4.0) - first) / pitch))
        height = random.uniform(1.2, 1.6)
        levels = tuple(0.15 + height * i for i in range(random.randint(3, 4)))
        return cls(sign, front, tuple(first + pitch * i for i in range(count + 1)), levels)


@dataclass(frozen=True)
class _Placed:
    """What stands on the floor: a robot, a box, or boxes on top of each other, from the lowest."""

    things: Sequence[Vehicle]

    @property
    def footprint(self) -> Footprint:
        return Footprint.of([corner for thing in self.things for corner in thing.corners()])


def make_warehouse(seed: int, split: str, index: int, height: int, width: int) -> Scene:
    """The warehouse number `index` of a split; it depends on nothing but the arguments."""

    def random_for(part: str) -> Random:
        return Random(f"warehouse {seed} {split} {index} {part}")

    camera = _camera(height, width, random_for("camera"))
    light = random_for("light").choice(_LIGHTS)
    end, sides = _layout(random_for("layout"))
    placed = _place(sides, end, random_for("things"))
    order = far_to_near([one.footprint for one in placed])
    things = [thing for i in order for thing in placed[i].things]
    shades = random_for("shades")
    return paint_scene(
        camera,
        light,
        still=list(_room(sides, end, camera, light, random_for("room"))),
        shadows=[
            camera.project_all(shadow_of(thing.corners(), height_of(thing), light))
            for thing in things
        ],
        moving=[
            *_racks(sides, camera, light, random_for("racks")),
            *(item for thing in things for item in thing.items(camera, light, shades)),
        ],
        border=(),
        film=random_for("film"),
    )


def write_warehouse(job: Job, root: Path) -> Entries:
    """Make a warehouse and write its files below `root`; return its entries of the JSON."""
    return write_own_scene(make_warehouse(*job), job, INFO, root)


def _camera(height: int, width: int, random: Random) -> Camera:
    """A camera on a mast, its horizon near the upper border, so that it sees the floor."""
    return Camera(
        (height, width),
        focal=random.uniform(0.7, 0.9) * min(width, 1.4 * height),
        center=(random.uniform(0.4, 0.6) * width, random.uniform(0.06, 0.2) * height),
        mount=random.uniform(2.3, 3.2),
    )


def _layout(random: Random) -> tuple[float, list[_Side]]:
    """Meters to the far wall, and the two sides; at least one has racks."""
    end = random.uniform(9.0, 18.0)
    racks = random.choice(((True, True), (True, True), (True, False), (False, True)))
    sides = zip((-1, 1), racks, strict=True)
    return end, [_Side.random(sign, end, has_racks, random) for sign, has_racks in sides]


def _place(sides: Sequence[_Side], end: float, random: Random) -> list[_Placed]:
    """Stand robots and boxes on the floor between the sides, none within another."""
    placed: list[_Placed] = []
    left, right = (side.sign * side.front for side in sides)
    wanted = [_robots] * random.randint(1, 4) + [_boxes] * random.randint(2, 8)
    for make in wanted:
        for _ in range(12):
            x, z = random.uniform(left + 0.4, right - 0.4), random.uniform(3.2, end - 1.2)
            one = _Placed(make(Pose(x, z, random.uniform(-3.1, 3.1)), random))
            foot = one.footprint
            inside = left + 0.1 < foot.x0 and foot.x1 < right - 0.1 and 2.6 < foot.z0 < end - 1
            if inside and not any(foot.overlaps(other.footprint, 0.12) for other in placed):
                placed.append(one)
                break
    return placed


def _robots(pose: Pose, random: Random) -> list[Vehicle]:
    return [robot(pose, random)]


def _boxes(pose: Pose, random: Random) -> list[Vehicle]:
    """One box, or two or three on top of each other."""
    size, foot = [random.uniform(*limits) for limits in ((0.5, 1.0), (0.4, 0.8))], 0.0
    boxes = []
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        height = random.uniform(0.3, 0.65)
        turned = Pose(pose.x, pose.z, pose.yaw + random.uniform(-0.15, 0.15))
        boxes.append(box(turned, (size[0], size[1], height), foot, random))
        size, foot = [0.95 * side for side in size], foot + height
    return boxes


# What stands still


def _panel(
    x: float, z0: float, z1: float, y0: float, y1: float, color: Color,
    camera: Camera, light: Weather,
) -> Face:  # fmt: skip
    """An upright rectangle along the aisle, its front toward the middle."""
    corners = ((x, y0, z0), (x, y1, z0), (x, y1, z1), (x, y0, z1))
    shade = light.shade(color, (-1.0 if x > 0 else 1.0, 0.0, 0.0), (z0 + z1) / 2)
    return Face(camera.project_all(corners), shade)


def _front(
    x0: float, x1: float, y0: float, y1: float, z: float, color: Color,
    camera: Camera, light: Weather,
) -> Face:  # fmt: skip
    """An upright rectangle across the aisle, its front toward the camera."""
    corners = ((x0, y0, z), (x0, y1, z), (x1, y1, z), (x1, y0, z))
    return Face(camera.project_all(corners), light.shade(color, TO_CAMERA, z))


def _room(
    sides: Sequence[_Side], end: float, camera: Camera, light: Weather, random: Random
) -> Iterator[Item]:
    """The walls, then the floor before them."""
    paint = vary(random.choice(((206, 208, 204), (170, 186, 200), (190, 180, 160))), random, 10)
    stripe = random.choice(((40, 90, 160), (60, 130, 90), (190, 60, 50), (110, 112, 118)))
    wide = camera.reach(end) + 4
    low = -0.5  # below the floor, which covers it: no gap between the two
    faces = [_front(-wide, wide, low, _ROOF, end, paint, camera, light)]
    faces += as_details(_wall_details(end, stripe, camera, light, random))
    for side in sides:
        for z1, z0 in pairwise((end, 0.75 * end, 0.5 * end, 0.3 * end, _NEAR)):
            faces.append(_panel(side.wall, z0, z1, low, _ROOF, paint, camera, light))
            faces.append(_panel(side.wall, z0, z1, low, 1.1, stripe, camera, light))
    yield Item("wall", faces, "plaster")
    left, right = (side.wall for side in sides)
    color = vary(random.choice(((150, 152, 148), (128, 140, 138), (172, 162, 146))), random, 10)
    near = camera.nearest_ground()
    floor = ground_strip(left, right, near, end, color, camera, light)
    floor += as_details(_markings(sides, end, near, color, camera, light, random))
    yield Item("floor", floor, "asphalt")


def _wall_details(
    end: float, stripe: Color, camera: Camera, light: Weather, random: Random
) -> list[Face]:
    """A gate of slats and a sign on the far wall."""
    x, half = random.uniform(-2.5, 2.5), random.uniform(1.2, 1.9)
    gate = random.choice(((120, 126, 132), (222, 222, 218), (70, 92, 120)))
    faces = [_front(-9, 9, 0, 1.1, end, stripe, camera, light)]
    for i in range(10):
        slat = mix(gate, (30, 30, 34), 0.25 * (i % 2))
        faces.append(_front(x - half, x + half, 0.36 * i, 0.36 * (i + 1), end, slat, camera, light))
    sign = random.choice(((236, 196, 30), (30, 130, 70), (200, 44, 40)))
    faces.append(_front(x + half + 0.4, x + half + 1.1, 1.6, 2.3, end, sign, camera, light))
    return faces


def _markings(
    sides: Sequence[_Side], end: float, near: float, floor: Color,
    camera: Camera, light: Weather, random: Random,
) -> list[Face]:  # fmt: skip
    """Joints between slabs, lines along the aisle, now and then a marked place."""
    joint = mix(floor, (60, 60, 60), 0.3)
    faces: list[Face] = []
    z, step = near + random.uniform(0, 2), random.uniform(2.5, 4.0)
    while z < end - 0.2:
        faces += ground_strip(-8, 8, z, z + 0.04, joint, camera, light)
        z += step
    line: Color = random.choice(((236, 196, 30), (238, 238, 232)))
    for side in sides:
        x = side.sign * (side.front - 0.2)
        faces += ground_strip(x - 0.06, x + 0.06, near, end, line, camera, light)
    if random.random() < 0.6:
        x, z = random.uniform(-1.2, 0.2), random.uniform(4, max(4.5, end - 4))
        faces += ground_strip(x, x + 1.2, z, z + 1.5, line, camera, light)
        faces += ground_strip(x + 0.1, x + 1.1, z + 0.1, z + 1.4, floor, camera, light)
    return faces


# Racks


def _racks(
    sides: Sequence[_Side], camera: Camera, light: Weather, random: Random
) -> Iterator[Item]:
    """The racks and the boxes in them, far bays first."""
    posts, beams = random.choice(
        (((30, 70, 160), (236, 112, 24)), ((52, 120, 76), (236, 190, 30)),
         ((120, 124, 130), (40, 90, 170)))
    )  # fmt: skip
    fill = random.uniform(0.35, 0.95)
    for side in sides:
        for z0, z1 in reversed(list(pairwise(side.bays))):
            yield from _bay(side, z0, z1, posts, beams, fill, camera, light, random)


def _bay(
    side: _Side, z0: float, z1: float, posts: Color, beams: Color, fill: float,
    camera: Camera, light: Weather, random: Random,
) -> Iterator[Item]:  # fmt: skip
    """One bay: its back, its levels, and the posts and beams before them."""
    x, back, top = side.sign * side.front, side.sign * (side.front + _DEPTH), side.levels[-1]
    dark = mix(posts, (34, 36, 40), 0.75)
    yield Item("shelf", [_panel(back, z0, z1, 0, top, dark, camera, light)])
    # What is level with the camera comes last: from above one sees decks, from below what lies on
    # the deck beneath.
    for level in sorted(side.levels[:-1], key=lambda y: -abs(y - camera.mount)):
        yield Item("shelf", [_deck(x, back, z0, z1, level, camera, light)])
        for stored in reversed(_stored(side, z0, z1, level, fill, random)):
            yield from stored.items(camera, light, random)
        edge = _panel(x, z0, z1, level - 0.14, level, beams, camera, light)
        yield Item("shelf", [edge])
    if z0 == side.bays[0] > _NEAR:
        yield Item("shelf", _end(x, back, z0, top, posts, dark, camera, light))
    yield Item("shelf", [
        _panel(x, z1 - 0.1, z1, 0, top, posts, camera, light),
        _panel(x, z0, z0 + 0.1, 0, top, posts, camera, light),
        _panel(x, z0, z1, top - 0.14, top, beams, camera, light),
    ])  # fmt: skip


def _deck(
    x: float, back: float, z0: float, z1: float, y: float, camera: Camera, light: Weather
) -> Face:
    corners: tuple[WorldPoint, ...] = ((x, y, z0), (x, y, z1), (back, y, z1), (back, y, z0))
    return Face(camera.project_all(corners), light.shade((150, 136, 116), UP, (z0 + z1) / 2))


def _end(
    x: float, back: float, z: float, top: float, posts: Color, dark: Color,
    camera: Camera, light: Weather,
) -> list[Face]:  # fmt: skip
    """The end of a rack that one sees: a mesh between two posts, a plate with the aisle's name."""
    post = 0.1 if back > x else -0.1
    plate = x + 3 * post, x + 8 * post
    return [
        _front(x, back, 0, top, z, dark, camera, light),
        _front(x, x + post, 0, top, z, posts, camera, light),
        _front(back - post, back, 0, top, z, posts, camera, light),
        _front(*plate, 1.5, 1.9, z, (236, 196, 30), camera, light)._replace(in_outline=False),
    ]


def _stored(
    side: _Side, z0: float, z1: float, level: float, fill: float, random: Random
) -> list[Vehicle]:
    """The boxes of one level of a bay, near ones first."""
    room = side.levels[1] - side.levels[0] - 0.3
    boxes, z = [], z0 + 0.16
    while True:
        length, width = random.uniform(0.4, 0.9), random.uniform(0.5, 0.8)
        height = random.uniform(0.35, 0.9) * room
        if z + length > z1 - 0.16:
            return boxes
        if random.random() < fill:
            x = side.sign * (side.front + random.uniform(0.05, 0.25) + width / 2)
            pose = Pose(x, z + length / 2, random.uniform(-0.06, 0.06))
            boxes.append(box(pose, (length, width, height), level, random))
        z += length + random.uniform(0.04, 0.3)
