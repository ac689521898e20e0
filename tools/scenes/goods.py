"""Boxes and robots: what stands on the floor and the shelves of a warehouse.

Their shapes are those of `vehicle_shapes`, made of other bodies and materials.
"""

from __future__ import annotations

from random import Random

from scenes.vehicle_shapes import MATERIALS, Outline, Shape, Solid, circle, rectangle
from scenes.vehicles import Pose, Vehicle
from scenes.weather import Color, vary

_MATERIALS = MATERIALS | {
    "tape": (206, 184, 140),
    "print": (92, 66, 46),
    "sticker": (236, 234, 226),
    "rim": (92, 94, 98),
    "light": (60, 235, 220),
    "screen": (34, 60, 96),
    "fork": (44, 46, 50),
}
_CARDBOARD: tuple[Color, ...] = (
    (184, 140, 94), (168, 122, 78), (200, 160, 112), (150, 108, 72), (206, 178, 138),
)  # fmt: skip
_TOTES: tuple[Color, ...] = (
    (28, 86, 170), (196, 44, 40), (52, 132, 74), (236, 196, 44), (96, 100, 108), (224, 226, 228),
)  # fmt: skip
_ROBOTS: tuple[Color, ...] = (
    (240, 122, 24), (236, 238, 240), (40, 160, 160), (64, 68, 76), (150, 200, 40),
)  # fmt: skip


def box(pose: Pose, size: tuple[float, float, float], foot: float, random: Random) -> Vehicle:
    """A carton or a crate of plastic.

    Args:
        pose: where it stands.
        size: length, width and height in meters.
        foot: meters from the ground to its bottom.
        random: for its kind and color.
    """
    make, colors = random.choice(((_carton, _CARDBOARD), (_carton, _CARDBOARD), (_tote, _TOTES)))
    color = vary(random.choice(colors), random, 10)
    return Vehicle(make(size, foot, color), pose, _MATERIALS | {"body": color})


def _carton(size: tuple[float, float, float], foot: float, color: Color) -> Shape:
    """Closed with tape along the middle of its top; print and a sticker on its sides."""
    length, width, height = size
    top = foot + height
    low, high = 0.45 * length, 0.55 * length
    profile = ((0, foot), (0, top), (low, top), (high, top), (length, top), (length, foot))
    solid = Solid(profile, ("body", "body", "tape", "body", "body", "under"))
    sticker = (
        "sticker",
        rectangle(0.62 * length, foot + 0.5 * height, 0.86 * length, top - 0.1 * height),
    )
    flap = "tape", rectangle(low, top - 0.25 * height, high, top)
    mark = "print", rectangle(-0.3 * width, foot + 0.2 * height, 0.1 * width, foot + 0.35 * height)
    return Shape("box", length, width, (solid,), (flap, sticker), (mark,), (mark,), (), (color,))


def _tote(size: tuple[float, float, float], foot: float, color: Color) -> Shape:
    """Open at the top, with a rim and ribs; narrower at its foot."""
    length, width, height = size
    top, slope = foot + height, 0.06 * length
    profile = ((slope, foot), (0, top), (slope, top), (length - slope, top), (length, top),
               (length - slope, foot))  # fmt: skip
    solid = Solid(profile, ("body", "body", "dark", "body", "body", "under"))
    low, high = foot + 0.1 * height, top - 0.2 * height
    ribs = tuple(
        ("dark", rectangle(a * length, low, (a + 0.03) * length, high)) for a in (0.3, 0.5, 0.7)
    )
    grip = "dark", rectangle(-0.2 * width, top - 0.3 * height, 0.2 * width, top - 0.18 * height)
    return Shape("box", length, width, (solid,), ribs, (grip,), (grip,), (), (color,))


def robot(pose: Pose, random: Random) -> Vehicle:
    """One of three kinds of robots on wheels."""
    shape = random.choice((_CARRIER, _CARRIER, _CART, _FORKLIFT))
    color = vary(random.choice(_ROBOTS), random, 10)
    return Vehicle(shape, pose, _MATERIALS | {"body": color})


def height_of(thing: Vehicle) -> float:
    """Meters from the ground to its top."""
    return max(y for solid in thing.shape.solids for _, y in solid.profile)


def _solid(outline: Outline, *materials: str) -> Solid:
    return Solid(outline, materials, materials[0])


_CARRIER = Shape(
    "robot", 1.05, 0.75,
    (Solid(((0, 0.06), (0, 0.24), (0.12, 0.36), (0.93, 0.36), (1.05, 0.24), (1.05, 0.06)),
           ("body", "body", "dark", "body", "body", "under")),
     _solid(((0.4, 0.36), (0.4, 0.5), (0.65, 0.5), (0.65, 0.36)),
            "dark", "screen", "dark", "under")),
    (("light", rectangle(0.1, 0.2, 0.95, 0.24)), ("dark", rectangle(0.0, 0.06, 1.05, 0.1))),
    (("dark", rectangle(-0.3, 0.1, 0.3, 0.2)), ("red_lamp", rectangle(-0.34, 0.21, 0.34, 0.24))),
    (("screen", rectangle(-0.25, 0.1, 0.25, 0.2)), ("light", rectangle(-0.34, 0.21, 0.34, 0.24))),
    ((0.25, 0.1), (0.8, 0.1)), _ROBOTS,
)  # fmt: skip
"""Low, with a sensor on its back."""
_CART = Shape(
    "robot", 0.9, 0.66,
    (_solid(((0, 0.08), (0, 0.46), (0.9, 0.46), (0.9, 0.08)), "body", "dark", "body", "under"),
     _solid(((0.33, 0.46), (0.33, 1.1), (0.57, 1.1), (0.57, 0.46)),
            "chrome", "dark", "chrome", "under"),
     _solid(((0.05, 1.1), (0.0, 1.32), (0.9, 1.32), (0.85, 1.1)),
            "body", "cargo", "body", "under")),
    (("light", rectangle(0.08, 0.38, 0.82, 0.42)), ("dark", rectangle(0.3, 0.14, 0.6, 0.3))),
    (("red_lamp", rectangle(-0.28, 0.36, 0.28, 0.41)), ("dark", rectangle(-0.2, 0.14, 0.2, 0.3))),
    (("light", rectangle(-0.28, 0.36, 0.28, 0.41)), ("screen", rectangle(-0.22, 1.14, 0.22, 1.3))),
    ((0.2, 0.12), (0.7, 0.12)), _ROBOTS,
)  # fmt: skip
"""A tray on a column."""
_FORKLIFT = Shape(
    "robot", 2.5, 0.95,
    (Solid(((0, 0.1), (0, 0.95), (0.15, 1.15), (0.95, 1.15), (1.2, 0.8), (1.2, 0.1)),
           ("body", "body", "dark", "body", "body", "under")),
     _solid(((1.2, 0.1), (1.2, 2.1), (1.35, 2.1), (1.35, 0.1)), "dark", "dark", "dark", "under"),
     _solid(((1.35, 0.06), (1.35, 0.14), (2.5, 0.14), (2.5, 0.06)),
            "fork", "fork", "fork", "under")),
    (("light", rectangle(0.1, 0.62, 0.95, 0.68)), ("dark", rectangle(0.0, 0.1, 1.2, 0.2)),
     ("sign", rectangle(0.35, 0.3, 0.8, 0.52))),
    (("red_lamp", circle(-0.33, 0.8, 0.07, 8)), ("red_lamp", circle(0.33, 0.8, 0.07, 8)),
     ("dark", rectangle(-0.3, 0.25, 0.3, 0.6))),
    (),
    ((0.25, 0.16), (0.95, 0.16)), _ROBOTS,
)  # fmt: skip
"""Forks on a mast, no driver."""
