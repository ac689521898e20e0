"""What stands along a street: lamps, traffic lights, signs, trees and small things without a class.

Each builder returns the items of one thing in painting order; all face the camera.
"""

from __future__ import annotations

import math
from random import Random

from scenes.camera import Camera
from scenes.painting import Face, Item
from scenes.people import bar
from scenes.vehicle_shapes import Details, Outline, circle, rectangle
from scenes.weather import TO_CAMERA, Color, Weather, vary

POLE: Color = (116, 120, 122)
_LAMPS: dict[str, Color] = {"red": (255, 60, 44), "amber": (255, 190, 40), "green": (60, 255, 130)}
_BLUE, _RED, _WHITE = (24, 84, 190), (212, 28, 34), (240, 240, 238)


def _triangle(radius: float) -> Outline:
    return (-radius, -0.6 * radius), (0.0, radius), (radius, -0.6 * radius)


# Kind of sign -> (color, outline around its middle), meters.
SIGNS: dict[str, tuple[tuple[Color, Outline], ...]] = {
    "limit": ((_RED, circle(0, 0, 0.4, 16)), (_WHITE, circle(0, 0, 0.28, 16)),
              ((30, 30, 30), rectangle(-0.13, -0.13, 0.13, 0.13))),
    "yield": ((_RED, tuple((u, -v) for u, v in _triangle(0.48))),
              (_WHITE, tuple((u, -v) for u, v in _triangle(0.28)))),
    "warning": ((_RED, _triangle(0.48)), (_WHITE, _triangle(0.28))),
    "priority": ((_WHITE, ((-0.46, 0), (0, 0.46), (0.46, 0), (0, -0.46))),
                 ((250, 200, 20), ((-0.34, 0), (0, 0.34), (0.34, 0), (0, -0.34)))),
    "parking": ((_BLUE, rectangle(-0.36, -0.4, 0.36, 0.4)),
                (_WHITE, bar(-0.1, -0.25, -0.1, 0.25, 0.1)),
                 (_WHITE, circle(0.06, 0.12, 0.14, 10))),
    "direction": (((250, 200, 20), rectangle(-0.8, -0.28, 0.8, 0.28)),
                  ((30, 30, 30), rectangle(-0.6, -0.05, 0.6, 0.05))),
    "stop": ((_RED, circle(0, 0, 0.42, 8)), (_WHITE, rectangle(-0.3, -0.1, 0.3, 0.1))),
}  # fmt: skip

_BIN: Details = (
    ("green", rectangle(-0.28, 0, 0.28, 0.9)),
    ("black", rectangle(-0.32, 0.85, 0.32, 1.0)),
)
_BENCH: Details = (
    ("brown", rectangle(-0.8, 0.4, 0.8, 0.5)), ("brown", rectangle(-0.8, 0.6, 0.8, 0.85)),
    ("black", rectangle(-0.7, 0, -0.6, 0.6)), ("black", rectangle(0.6, 0, 0.7, 0.6)),
)  # fmt: skip
_BOX: Details = (
    ("gray", rectangle(-0.45, 0, 0.45, 1.2)),
    ("black", rectangle(-0.45, 1.12, 0.45, 1.2)),
)
_DOG: Details = (
    ("brown", rectangle(-0.3, 0.28, 0.28, 0.52)), ("brown", rectangle(-0.28, 0, -0.2, 0.3)),
    ("brown", rectangle(0.16, 0, 0.24, 0.3)), ("brown", circle(0.36, 0.6, 0.13, 10)),
    ("brown", bar(-0.3, 0.48, -0.42, 0.66, 0.06)),
)  # fmt: skip
_STROLLER: Details = (
    ("black", circle(-0.28, 0.14, 0.14, 10)), ("black", circle(0.28, 0.14, 0.14, 10)),
    ("blue", ((-0.35, 0.3), (-0.45, 0.8), (0.1, 1.0), (0.4, 0.55), (0.3, 0.3))),
    ("black", bar(0.3, 0.5, 0.55, 1.0, 0.06)),
)  # fmt: skip

# Label -> tables of small things that belong to no evaluated class.
SMALL_THINGS: dict[str, tuple[Details, ...]] = {
    "static": (_BIN, _BENCH, _BOX),
    "dynamic": (_DOG, _STROLLER),
}
_PAINT: dict[str, Color] = {
    "green": (70, 92, 70), "black": (36, 36, 38), "brown": (116, 82, 54), "gray": (150, 152, 148),
    "blue": (54, 70, 120),
}  # fmt: skip


def upright(
    parts: Details | tuple[tuple[Color, Outline], ...],
    foot: tuple[float, float, float],
    camera: Camera,
    weather: Weather,
) -> list[Face]:
    """Faces of a flat thing whose (0, 0) lies at `foot` (x, y, z)."""
    x, y, z = foot
    faces = []
    for paint, outline in parts:
        color = _PAINT[paint] if isinstance(paint, str) else paint
        points = camera.project_all((x + u, y + v, z) for u, v in outline)
        faces.append(Face(points, weather.shade(color, TO_CAMERA, z)))
    return faces


def small_thing(
    label: str, x: float, z: float, camera: Camera, weather: Weather, random: Random
) -> list[Item]:
    """A bin, a bench, a dog, ..."""
    table = random.choice(SMALL_THINGS[label])
    return [Item(label, upright(table, (x, 0, z), camera, weather), single=True)]


def _post(x: float, z: float, height: float, width: float, camera: Camera) -> Outline:
    """A pole at least a pixel wide, around x, in meters."""
    width = max(width, 1.1 / camera.pixels(1.0, z))
    return rectangle(x - width / 2, 0, x + width / 2, height)


def _pole(
    x: float, z: float, height: float, width: float, camera: Camera, weather: Weather
) -> list[Face]:
    post = _post(x, z, height, width, camera)
    lit = tuple((x + (u - x) * 0.4 - (u - x) * 0.15, v) for u, v in post)
    highlight: Color = (158, 162, 164)
    return upright(((POLE, post), (highlight, lit)), (0, 0, z), camera, weather)


def street_lamp(x: float, z: float, camera: Camera, weather: Weather, random: Random) -> list[Item]:
    """A pole with an arm over the road."""
    height, reach = random.uniform(5.5, 8), -math.copysign(random.uniform(1, 2), x)
    faces = _pole(x, z, height, 0.2, camera, weather)
    thickness = max(0.12, 1.1 / camera.pixels(1.0, z))
    arm = bar(x, height, x + reach, height + 0.25, thickness)
    faces += upright(((POLE, arm),), (0, 0, z), camera, weather)
    lamp = bar(x + reach * 0.7, height + 0.14, x + reach * 1.2, height + 0.25, thickness * 2)
    color = weather.through_air((255, 240, 190), z) if weather.lit > 0.3 else (206, 208, 208)
    faces.append(Face(camera.project_all((u, v, z) for u, v in lamp), color))
    return [Item("pole", faces)]


def _signal(x: float, y: float, z: float, on: str, camera: Camera, weather: Weather) -> Item:
    """The box of a traffic light around (x, y)."""
    half = max(0.26, 1.4 / camera.pixels(1.0, z))
    frame = rectangle(x - half, y - 2.2 * half, x + half, y + 2.2 * half)
    faces = upright((((24, 26, 24), frame),), (0, 0, z), camera, weather)
    for place, (name, color) in zip((1.35, 0, -1.35), _LAMPS.items(), strict=True):
        shown = color if name == on else tuple(value * 0.22 for value in color)
        lamp = circle(x, y + place * half, 0.62 * half, 10)
        points = camera.project_all((u, v, z) for u, v in lamp)
        faces.append(Face(points, weather.through_air(shown, z), in_outline=False))
    return Item("traffic light", faces)


def traffic_light(
    x: float, z: float, on: str, camera: Camera, weather: Weather, random: Random
) -> list[Item]:
    """A pole with a light, on wide crossings also with one on an arm above the road."""
    arm = random.random() < 0.4
    height = 5.4 if arm else 3.2
    faces = _pole(x, z, height, 0.2, camera, weather)
    lights = [_signal(x, 2.7, z, on, camera, weather)]
    if arm:
        over = x - math.copysign(random.uniform(2.2, 3.4), x)
        thickness = max(0.14, 1.1 / camera.pixels(1.0, z))
        faces += upright(((POLE, bar(x, 5.3, over, 5.3, thickness)),), (0, 0, z), camera, weather)
        lights.append(_signal(over, 5.1, z, on, camera, weather))
    return [Item("pole", faces), *lights]


def traffic_sign(
    x: float, z: float, camera: Camera, weather: Weather, random: Random
) -> list[Item]:
    """One or two signs on a pole."""
    height = random.uniform(2.3, 3.0)
    pole = Item("pole", _pole(x, z, height, 0.12, camera, weather))
    kinds = random.sample(sorted(SIGNS), random.choice((1, 1, 2)))
    faces = [
        face
        for i, kind in enumerate(kinds)
        for face in upright(SIGNS[kind], (x, height - 0.3 - 0.9 * i, z), camera, weather)
    ]
    return [pole, Item("traffic sign", faces)]


def tree(
    x: float, z: float, camera: Camera, weather: Weather, random: Random, size: float = 1.0
) -> list[Item]:
    """A trunk and a crown of leaves, lighter toward the sun."""
    height, radius = random.uniform(4.6, 7) * size, random.uniform(1.5, 2.4) * size
    green = vary(random.choice(((52, 98, 44), (66, 108, 48), (40, 86, 50), (86, 110, 44))), random)
    trunk = rectangle(x - 0.16 * size, 0, x + 0.16 * size, height)
    faces = upright((((88, 68, 52), trunk),), (0, 0, z), camera, weather)
    lean = weather.sun[0]
    for _ in range(random.randint(16, 24)):
        turn, away = random.uniform(0, 2 * math.pi), radius * math.sqrt(random.uniform(0, 0.7))
        u, v = away * math.cos(turn), away * math.sin(turn) * 1.1
        leaves = circle(x + u, height + v, radius * random.uniform(0.3, 0.5), 9)
        normal = (0.8 * u / radius + 0.2 * lean, 0.5 + v / radius, -0.7)
        color = weather.shade(vary(green, random, 10), normal, z)
        faces.append(Face(camera.project_all((a, b, z) for a, b in leaves), color))
    return [Item("vegetation", faces, "leaves")]


def hedge(
    x0: float, x1: float, z: float, height: float, camera: Camera, weather: Weather, random: Random
) -> Item:
    """Bushes side by side, across the view."""
    faces = []
    for _ in range(max(4, int((x1 - x0) / height * 3))):
        center, radius = random.uniform(x0, x1), random.uniform(0.35, 0.6) * height
        blob = circle(center, random.uniform(0.2, 0.6) * height, radius, 10)
        color = weather.shade(vary((54, 96, 46), random, 14), (0, 0.6, -0.8), z)
        faces.append(Face(camera.project_all((u, max(0, v), z) for u, v in blob), color))
    return Item("vegetation", faces, "leaves")
