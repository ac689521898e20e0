"""People and two-wheelers: flat figures that face the camera.

A figure is a table of (material, outline); outlines are in meters, u to the side it looks at,
v up from the ground. "air" is see-through: it shapes the outline only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from random import Random

from scenes.camera import Camera, WorldPoint
from scenes.painting import Face, Item
from scenes.vehicle_shapes import Details, Outline, circle, rectangle
from scenes.weather import TO_CAMERA, Color, Weather, vary


def bar(u0: float, v0: float, u1: float, v1: float, width: float = 0.06) -> Outline:
    """A straight tube between two points."""
    length = math.hypot(u1 - u0, v1 - v0) or 1.0
    du, dv = -(v1 - v0) / length * width / 2, (u1 - u0) / length * width / 2
    return (u0 + du, v0 + dv), (u1 + du, v1 + dv), (u1 - du, v1 - dv), (u0 - du, v0 - dv)


def ring(u: float, v: float, radius: float, width: float) -> Outline:
    """A wheel's rim, as one outline with a seam."""
    outer, inner = circle(u, v, radius, 18), circle(u, v, radius - width, 18)
    return (*outer, outer[0], inner[0], *reversed(inner))


def _head(u: float, v: float, covered: str) -> Details:
    top = tuple((x, y) for x, y in circle(u, v, 0.135, 16) if y >= v + 0.01)
    return ("skin", circle(u, v, 0.125, 14)), (covered, top)


def _spoked(u: float) -> Details:
    return ("air", circle(u, 0.34, 0.34, 16)), ("tire", ring(u, 0.34, 0.35, 0.07))


BICYCLE_SIDE: Details = (
    *_spoked(-0.52), *_spoked(0.52),
    ("air", ((-0.52, 0.34), (-0.2, 0.85), (0.38, 0.85), (0.52, 0.34), (0.0, 0.3))),
    ("frame", bar(-0.52, 0.34, -0.22, 0.8)), ("frame", bar(-0.52, 0.34, -0.02, 0.3)),
    ("frame", bar(-0.22, 0.8, -0.02, 0.3, 0.08)), ("frame", bar(-0.2, 0.76, 0.38, 0.8, 0.08)),
    ("frame", bar(-0.02, 0.3, 0.4, 0.76, 0.08)), ("frame", bar(0.52, 0.34, 0.36, 0.98)),
    ("seat", bar(-0.38, 0.88, -0.1, 0.9, 0.09)), ("seat", bar(-0.22, 0.78, -0.24, 0.9)),
    ("tire", bar(0.32, 1.0, 0.5, 1.04, 0.07)),
)  # fmt: skip
BICYCLE_END: Details = (
    ("tire", rectangle(-0.05, 0.0, 0.05, 0.68)), ("frame", rectangle(-0.045, 0.55, 0.045, 1.0)),
    ("tire", bar(-0.3, 1.02, 0.3, 1.02, 0.07)), ("seat", rectangle(-0.1, 0.84, 0.1, 0.93)),
    ("red_lamp", rectangle(-0.05, 0.6, 0.05, 0.7)),
)  # fmt: skip
MOTORCYCLE_SIDE: Details = (
    ("tire", circle(-0.68, 0.33, 0.33)), ("tire", circle(0.7, 0.33, 0.33)),
    ("rim", circle(-0.68, 0.33, 0.17)), ("rim", circle(0.7, 0.33, 0.17)),
    ("engine", ((-0.5, 0.25), (-0.45, 0.62), (0.4, 0.65), (0.35, 0.22))),
    ("chrome", bar(-0.95, 0.38, 0.1, 0.26, 0.1)), ("chrome", bar(0.7, 0.33, 0.42, 0.95, 0.08)),
    ("frame", ((-0.95, 0.75), (-0.85, 0.86), (-0.3, 0.74), (0.0, 0.98), (0.4, 1.0), (0.62, 0.85),
               (0.5, 0.62), (-0.1, 0.55), (-0.5, 0.58))),
    ("seat", ((-0.85, 0.84), (-0.3, 0.72), (-0.1, 0.84), (-0.3, 0.88), (-0.8, 0.94))),
    ("tire", bar(0.28, 1.08, 0.46, 1.02, 0.09)), ("white_lamp", circle(0.62, 0.86, 0.1)),
)  # fmt: skip
MOTORCYCLE_END: Details = (
    ("tire", rectangle(-0.11, 0.0, 0.11, 0.62)),
    ("engine", ((-0.24, 0.3), (-0.28, 0.62), (0.28, 0.62), (0.24, 0.3))),
    ("frame", ((-0.24, 0.55), (-0.2, 0.98), (0.2, 0.98), (0.24, 0.55))),
    ("seat", rectangle(-0.17, 0.9, 0.17, 1.0)), ("tire", bar(-0.42, 1.08, 0.42, 1.08, 0.08)),
    ("red_lamp", rectangle(-0.12, 0.68, 0.12, 0.8)), ("chrome", rectangle(0.2, 0.3, 0.32, 0.42)),
)  # fmt: skip
RIDER_SIDE: Details = (
    ("trousers", bar(-0.16, 0.92, 0.2, 0.72, 0.2)), ("trousers", bar(0.2, 0.72, 0.04, 0.32, 0.15)),
    ("shoes", bar(0.0, 0.26, 0.2, 0.26, 0.1)),
    ("jacket", ((-0.34, 0.86), (-0.3, 1.1), (0.02, 1.52), (0.24, 1.5), (0.26, 1.32), (0.0, 0.88))),
    ("vest", ((-0.24, 1.1), (0.02, 1.48), (0.16, 1.4), (-0.06, 1.05))),
    ("jacket", bar(0.16, 1.4, 0.3, 1.12, 0.12)), ("jacket", bar(0.3, 1.14, 0.44, 1.06, 0.1)),
    *_head(0.26, 1.64, "helmet"),
    ("helmet", ((0.1, 1.66), (0.14, 1.8), (0.28, 1.84), (0.4, 1.76), (0.41, 1.68))),
)  # fmt: skip
RIDER_END: Details = (
    ("trousers", bar(-0.14, 0.9, -0.2, 0.5, 0.17)), ("trousers", bar(0.14, 0.9, 0.18, 0.42, 0.17)),
    ("shoes", rectangle(-0.27, 0.4, -0.13, 0.52)), ("shoes", rectangle(0.11, 0.32, 0.25, 0.44)),
    ("jacket", ((-0.2, 0.84), (-0.27, 1.4), (-0.16, 1.52), (0.16, 1.52), (0.27, 1.4), (0.2, 0.84))),
    ("vest", ((-0.15, 0.95), (-0.18, 1.42), (0.18, 1.42), (0.15, 0.95))),
    ("jacket", bar(-0.24, 1.4, -0.36, 1.08, 0.12)), ("jacket", bar(0.24, 1.4, 0.36, 1.08, 0.12)),
    *_head(0.0, 1.64, "helmet"),
    ("helmet", tuple((u, v) for u, v in circle(0.0, 1.68, 0.16, 16) if v > 1.62)),
)  # fmt: skip
WALKING: Details = (
    ("trousers", bar(-0.02, 0.86, -0.26, 0.08, 0.15)), ("shoes", bar(-0.3, 0.04, -0.12, 0.04, 0.1)),
    ("trousers", bar(0.02, 0.86, 0.24, 0.08, 0.15)), ("shoes", bar(0.18, 0.04, 0.38, 0.04, 0.1)),
    ("shirt", bar(-0.02, 1.36, -0.24, 0.9, 0.11)),
    ("shirt", ((-0.14, 0.82), (-0.17, 1.38), (-0.08, 1.48), (0.1, 1.48), (0.18, 1.36),
    (0.13, 0.82))),
    ("sleeve", bar(0.02, 1.36, 0.2, 0.92, 0.11)), ("skin", circle(0.22, 0.88, 0.06, 8)),
    ("skin", rectangle(-0.05, 1.44, 0.06, 1.54)), *_head(0.02, 1.63, "hair"),
)  # fmt: skip
STANDING: Details = (
    ("trousers", bar(-0.1, 0.88, -0.11, 0.05, 0.17)),
    ("trousers", bar(0.1, 0.88, 0.11, 0.05, 0.17)),
    ("shoes", rectangle(-0.2, 0.0, -0.03, 0.08)), ("shoes", rectangle(0.03, 0.0, 0.2, 0.08)),
    ("sleeve", bar(-0.23, 1.4, -0.29, 0.88, 0.11)), ("sleeve", bar(0.23, 1.4, 0.29, 0.88, 0.11)),
    ("shirt", ((-0.18, 0.82), (-0.25, 1.38), (-0.14, 1.48), (0.14, 1.48), (0.25, 1.38),
    (0.18, 0.82))),
    ("skin", circle(-0.29, 0.84, 0.06, 8)), ("skin", circle(0.29, 0.84, 0.06, 8)),
    ("skin", rectangle(-0.055, 1.44, 0.055, 1.54)), *_head(0.0, 1.63, "hair"),
)  # fmt: skip
IN_COAT: Details = (
    ("trousers", bar(-0.06, 0.6, -0.14, 0.05, 0.14)),
    ("trousers", bar(0.06, 0.6, 0.14, 0.05, 0.14)),
    ("shoes", rectangle(-0.24, 0.0, -0.07, 0.08)), ("shoes", rectangle(0.07, 0.0, 0.26, 0.08)),
    ("shirt", ((-0.27, 0.5), (-0.2, 1.38), (-0.1, 1.48), (0.1, 1.48), (0.2, 1.38), (0.27, 0.5))),
    ("sleeve", bar(-0.19, 1.38, -0.3, 0.9, 0.12)), ("sleeve", bar(0.19, 1.38, 0.3, 0.9, 0.12)),
    ("bag", rectangle(0.24, 0.55, 0.46, 0.86)),
    ("skin", rectangle(-0.05, 1.44, 0.05, 1.54)), *_head(0.0, 1.63, "hair"),
)  # fmt: skip

PEDESTRIANS = (WALKING, WALKING, STANDING, IN_COAT)
TWO_WHEELERS = {
    "bicycle": (BICYCLE_SIDE, BICYCLE_END),
    "motorcycle": (MOTORCYCLE_SIDE, MOTORCYCLE_END),
}

_CLOTHES: tuple[Color, ...] = (
    (160, 40, 50), (40, 64, 120), (46, 48, 54), (196, 182, 152), (110, 60, 110), (70, 104, 74),
    (208, 208, 210), (190, 96, 50), (96, 132, 172), (120, 84, 62),
)  # fmt: skip
_TROUSERS: tuple[Color, ...] = (
    (40, 46, 66),
    (34, 34, 38),
    (84, 80, 76),
    (58, 74, 110),
    (112, 96, 76),
)
_SKIN: tuple[Color, ...] = ((234, 194, 166), (206, 158, 124), (150, 106, 78), (96, 66, 50))
_HAIR: tuple[Color, ...] = ((34, 26, 24), (92, 62, 40), (176, 142, 88), (150, 148, 146))
_FRAMES: tuple[Color, ...] = (
    (196, 40, 44),
    (34, 110, 190),
    (40, 150, 90),
    (232, 232, 232),
    (226, 140, 30),
)
_VESTS: tuple[Color, ...] = ((226, 240, 40), (255, 128, 20))
_FIXED: dict[str, Color] = {
    "tire": (26, 26, 28), "rim": (128, 130, 134), "engine": (74, 76, 82), "seat": (36, 30, 28),
    "chrome": (182, 184, 190), "red_lamp": (222, 26, 24), "white_lamp": (255, 250, 222),
    "shoes": (32, 28, 28),
}  # fmt: skip


def random_colors(random: Random) -> dict[str, Color]:
    """Material -> color of one person and vehicle."""
    shirt = vary(random.choice(_CLOTHES), random)
    helmet = random.choice(((240, 240, 240), (30, 30, 34), (200, 30, 36), (240, 200, 30)))
    return _FIXED | {
        "shirt": shirt,
        "sleeve": tuple(value * 0.82 for value in shirt),
        "trousers": vary(random.choice(_TROUSERS), random),
        "jacket": vary(random.choice(((40, 44, 56), (70, 40, 40), (50, 60, 50))), random),
        "vest": vary(random.choice(_VESTS), random),
        "skin": random.choice(_SKIN),
        "hair": random.choice(_HAIR),
        "helmet": helmet,
        "frame": vary(random.choice(_FRAMES), random),
        "bag": random.choice(_CLOTHES),
    }


@dataclass(frozen=True)
class Stance:
    """Where a figure stands: its foot in meters, its size, and the way its plane is turned.

    Attributes:
        squeeze: -1..1, width as seen; negative looks to the left.
    """

    x: float
    z: float
    scale: float = 1.0
    squeeze: float = 1.0

    @property
    def facing(self) -> float:
        """1 where it looks to the right, else -1."""
        return math.copysign(1.0, self.squeeze)

    def to_world(self, u: float, v: float) -> WorldPoint:
        """From the figure's plane to the world."""
        return self.x + u * self.scale * self.squeeze, v * self.scale, self.z


def figure_faces(
    parts: Details, stance: Stance, colors: Mapping[str, Color], camera: Camera, weather: Weather
) -> list[Face]:
    """The faces of a figure."""
    faces = []
    for material, outline in parts:
        points = camera.project_all(stance.to_world(u, v) for u, v in outline)
        if material == "air":
            faces.append(Face(points, None))
        else:
            faces.append(Face(points, weather.shade(colors[material], TO_CAMERA, stance.z)))
    return faces


@dataclass(frozen=True)
class Figure:
    """One or more figures at a place that are drawn together.

    Attributes:
        parts: (label, table, colors) in painting order.
    """

    stance: Stance
    parts: tuple[tuple[str, Details, Mapping[str, Color]], ...]

    @property
    def half_width(self) -> float:
        """Meters it takes to each side."""
        widest = max(
            abs(u) for _, table, _ in self.parts for _, outline in table for u, _ in outline
        )
        return widest * self.stance.scale * abs(self.stance.squeeze)

    def coming_from(self, away: float) -> Figure:
        """The same, `away` meters to the side of the middle and looking there."""
        return replace(self, stance=replace(self.stance, x=-away * self.stance.facing))

    def items(self, camera: Camera, weather: Weather, random: Random) -> list[Item]:
        """One item a label."""
        return [
            Item(label, figure_faces(table, self.stance, colors, camera, weather), single=True)
            for label, table, colors in self.parts
        ]


def pedestrian(x: float, z: float, random: Random, label: str = "person") -> Figure:
    """Someone on foot; one in eight is a child."""
    scale = random.uniform(0.6, 0.75) if random.random() < 0.12 else random.uniform(0.93, 1.08)
    stance = Stance(x, z, scale, random.choice((-1.0, 1.0)) * random.uniform(0.85, 1.1))
    return Figure(stance, ((label, random.choice(PEDESTRIANS), random_colors(random)),))


def two_wheeler(
    kind: str, x: float, z: float, random: Random, *, ridden: bool, crossing: bool
) -> Figure:
    """A bicycle or motorcycle; `crossing` ones show their side, the others mostly their end."""
    side = crossing or random.random() < 0.3
    turn = random.uniform(0.75, 1.0) if side else random.uniform(0.95, 1.05)
    stance = Stance(x, z, random.uniform(0.97, 1.06), random.choice((-1.0, 1.0)) * turn)
    colors = random_colors(random)
    parts = [(kind, TWO_WHEELERS[kind][0 if side else 1], colors)]
    if ridden:
        parts.append(("rider", RIDER_SIDE if side else RIDER_END, colors))
    return Figure(stance, tuple(parts))
