"""The shapes of vehicles, as tables.

A shape's own coordinates are meters: `a` along the vehicle from its rear to its front, `y` up,
`s` across, 0 in the middle.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scenes.weather import Color

Outline = tuple[tuple[float, float], ...]
Details = tuple[tuple[str, Outline], ...]


@dataclass(frozen=True)
class Solid:
    """A body: its side view, swept across the width.

    Attributes:
        profile: (a, y) corners from the lower rear over the top to the lower front.
        materials: of the strip that begins at each corner, so of rear, ..., front, bottom.
        paint: material of the side itself.
    """

    profile: Outline
    materials: tuple[str, ...]
    paint: str = "body"


@dataclass(frozen=True)
class Shape:
    """A kind of vehicle.

    Attributes:
        label: Cityscapes' name.
        length, width: meters.
        solids: the bodies.
        side: details on both sides, in (a, y).
        rear, front: details on the ends, in (s, y).
        wheels: (a, radius) of the wheels on a side.
        colors: what `body` may be.
    """

    label: str
    length: float
    width: float
    solids: tuple[Solid, ...]
    side: Details
    rear: Details
    front: Details
    wheels: Outline
    colors: tuple[Color, ...]


def rectangle(x0: float, y0: float, x1: float, y1: float) -> Outline:
    """Corners of an upright rectangle."""
    return (x0, y0), (x0, y1), (x1, y1), (x1, y0)


def circle(x: float, y: float, radius: float, corners: int = 14) -> Outline:
    """Corners of a regular polygon."""
    turns = (2 * math.pi * i / corners for i in range(corners))
    return tuple((x + radius * math.cos(t), y + radius * math.sin(t)) for t in turns)


MATERIALS: dict[str, Color] = {
    "glass": (52, 64, 78),
    "tire": (28, 28, 30),
    "rim": (150, 152, 156),
    "under": (30, 30, 32),
    "dark": (58, 60, 64),
    "plate": (228, 228, 222),
    "chrome": (190, 192, 196),
    "cargo": (222, 222, 218),
    "cargo_line": (176, 178, 178),
    "white": (238, 238, 236),
    "red_lamp": (214, 24, 24),
    "white_lamp": (255, 250, 222),
    "sign": (255, 176, 40),
}
LAMPS = frozenset({"red_lamp", "white_lamp", "sign"})

_CAR_COLORS: tuple[Color, ...] = (
    (188, 34, 38), (34, 62, 140), (216, 216, 218), (58, 62, 68), (146, 152, 160), (28, 92, 70),
    (122, 54, 46), (64, 128, 178), (226, 222, 206), (92, 30, 60), (204, 150, 60), (40, 44, 60),
)  # fmt: skip
_CAR_REAR: Details = (
    ("dark", rectangle(-0.86, 0.28, 0.86, 0.45)),
    ("red_lamp", rectangle(-0.84, 0.68, -0.52, 0.84)),
    ("red_lamp", rectangle(0.52, 0.68, 0.84, 0.84)),
    ("plate", rectangle(-0.26, 0.52, 0.26, 0.64)),
)
_CAR_FRONT: Details = (
    ("dark", rectangle(-0.86, 0.28, 0.86, 0.42)),
    ("dark", rectangle(-0.4, 0.5, 0.4, 0.68)),
    ("white_lamp", rectangle(-0.82, 0.58, -0.48, 0.74)),
    ("white_lamp", rectangle(0.48, 0.58, 0.82, 0.74)),
    ("plate", rectangle(-0.26, 0.4, 0.26, 0.5)),
)
_CAR_STRIPS = ("body", "body", "glass", "body", "glass", "body", "body", "under")


def _car(profile: Outline, windows: Sequence[Outline], wheels: Outline) -> Shape:
    length = max(a for a, _ in profile)
    handle = ("dark", rectangle(0.42 * length, 0.86, 0.47 * length, 0.9))
    return Shape(
        "car", length, 1.82, (Solid(profile, _CAR_STRIPS),),
        (*(("glass", window) for window in windows), handle),
        _CAR_REAR, _CAR_FRONT, wheels, _CAR_COLORS,
    )  # fmt: skip


SEDAN = _car(
    ((0, 0.3), (0, 0.9), (0.7, 1.0), (1.25, 1.47), (2.6, 1.47), (3.35, 0.98), (4.5, 0.78),
     (4.5, 0.3)),
    (((0.92, 1.0), (1.32, 1.38), (1.95, 1.38), (1.95, 1.0)),
     ((2.05, 1.0), (2.05, 1.38), (2.55, 1.38), (3.12, 1.0))),
    ((0.85, 0.33), (3.65, 0.33)),
)  # fmt: skip
HATCHBACK = _car(
    ((0, 0.3), (0, 0.95), (0.1, 1.02), (0.5, 1.52), (2.2, 1.52), (2.95, 1.0), (3.9, 0.8),
     (3.9, 0.3)),
    (((0.35, 1.02), (0.65, 1.42), (1.4, 1.42), (1.4, 1.02)),
     ((1.5, 1.02), (1.5, 1.42), (2.15, 1.42), (2.7, 1.02))),
    ((0.7, 0.32), (3.15, 0.32)),
)  # fmt: skip
VAN = _car(
    ((0, 0.32), (0, 1.05), (0.02, 1.1), (0.12, 1.85), (3.3, 1.85), (4.0, 1.15), (4.6, 0.95),
     (4.6, 0.32)),
    (((0.3, 1.12), (0.38, 1.7), (1.35, 1.7), (1.35, 1.12)),
     ((1.45, 1.12), (1.45, 1.7), (2.45, 1.7), (2.45, 1.12)),
     ((2.55, 1.12), (2.55, 1.7), (3.25, 1.7), (3.8, 1.12))),
    ((0.85, 0.35), (3.75, 0.35)),
)  # fmt: skip

_BUS = Shape(
    "bus", 11.0, 2.55,
    (Solid(((0, 0.35), (0, 3.05), (0.15, 3.15), (10.85, 3.15), (11, 3.05), (11, 0.35)),
           ("body", "white", "white", "white", "body", "under")),),
    (*(("glass", rectangle(0.5 + 1.55 * i, 1.35, 1.9 + 1.55 * i, 2.55)) for i in range(6)),
     ("glass", rectangle(9.85, 0.5, 10.75, 2.55)), ("glass", rectangle(4.6, 0.5, 5.6, 2.55)),
     ("white", rectangle(0.1, 0.95, 9.7, 1.1))),
    (("glass", rectangle(-1.0, 1.75, 1.0, 2.7)), ("dark", rectangle(-1.2, 0.35, 1.2, 0.6)),
     ("red_lamp", rectangle(-1.18, 0.8, -0.9, 1.3)), ("red_lamp", rectangle(0.9, 0.8, 1.18, 1.3)),
     ("plate", rectangle(-0.28, 0.66, 0.28, 0.8))),
    (("glass", rectangle(-1.15, 1.1, 1.15, 2.55)), ("sign", rectangle(-0.85, 2.65, 0.85, 2.98)),
     ("white_lamp", rectangle(-1.15, 0.6, -0.75, 0.82)),
     ("white_lamp", rectangle(0.75, 0.6, 1.15, 0.82)),
     ("plate", rectangle(-0.28, 0.5, 0.28, 0.64))),
    ((2.4, 0.5), (8.6, 0.5)),
    ((240, 190, 24), (236, 132, 20), (226, 164, 40)),
)  # fmt: skip

_TRUCK = Shape(
    "truck", 8.2, 2.5,
    (Solid(((0, 0.95), (0, 3.6), (5.7, 3.6), (5.7, 0.95)), ("cargo", "cargo", "cargo", "under"),
           "cargo"),
     Solid(((0, 0.5), (0, 0.95), (6.0, 0.95), (6.0, 0.5)),
      ("dark", "dark", "dark", "under"), "dark"),
     Solid(((6.0, 0.45), (6.0, 2.75), (6.2, 2.95), (7.7, 2.95), (8.1, 1.6), (8.2, 0.45)),
           ("body", "body", "body", "glass", "body", "under"))),
    (("cargo_line", rectangle(0.0, 0.95, 5.7, 1.12)), ("cargo_line", rectangle(0, 3.42, 5.7, 3.6)),
     ("body", rectangle(0.8, 1.7, 4.9, 2.5)),
     ("glass", ((6.6, 1.75), (6.6, 2.6), (7.5, 2.6), (7.75, 1.75)))),
    (("body", rectangle(-1.25, 3.15, 1.25, 3.6)),
     ("cargo_line", rectangle(-0.04, 1.0, 0.04, 3.15)),
     ("cargo_line", rectangle(-1.2, 0.95, 1.2, 1.08)),
     ("dark", rectangle(-1.2, 0.5, 1.2, 0.9)), ("red_lamp", rectangle(-1.18, 0.6, -0.85, 0.8)),
     ("red_lamp", rectangle(0.85, 0.6, 1.18, 0.8)), ("plate", rectangle(-0.26, 0.6, 0.26, 0.74))),
    (("dark", rectangle(-0.9, 0.85, 0.9, 1.45)), ("white_lamp", rectangle(-1.15, 0.6, -0.7, 0.82)),
     ("white_lamp", rectangle(0.7, 0.6, 1.15, 0.82)), ("plate", rectangle(-0.26, 0.5, 0.26, 0.62))),
    ((1.1, 0.5), (2.3, 0.5), (7.1, 0.5)),
    ((30, 80, 170), (176, 36, 34), (24, 116, 72), (70, 74, 82)),
)  # fmt: skip

_TRAIN = Shape(
    "train", 24.0, 2.6,
    (Solid(((0, 0.2), (0, 1.2), (0.7, 3.4), (23.3, 3.4), (24, 1.2), (24, 0.2)),
           ("body", "glass", "dark", "glass", "body", "under"), "body"),),
    (*(("glass", rectangle(1.4 + 2.15 * i, 1.45, 3.3 + 2.15 * i, 2.75)) for i in range(10)),
     *(("dark", rectangle(8.0 * i - 0.12, 0.2, 8.0 * i + 0.12, 3.4)) for i in (1, 2)),
     *(("white", rectangle(a, 0.45, a + 1.3, 2.85)) for a in (4.0, 12.5, 19.0)),
     *(("glass", rectangle(a + 0.1, 0.9, a + 1.2, 2.75)) for a in (4.0, 12.5, 19.0)),
     ("white", rectangle(0.2, 3.0, 23.8, 3.25)), ("dark", rectangle(0.1, 0.2, 23.9, 0.45))),
    (("red_lamp", rectangle(-1.15, 0.75, -0.75, 0.95)),
     ("red_lamp", rectangle(0.75, 0.75, 1.15, 0.95)),
     ("dark", rectangle(-1.3, 0.2, 1.3, 0.45))),
    (("white_lamp", rectangle(-1.15, 0.7, -0.7, 0.95)),
     ("white_lamp", rectangle(0.7, 0.7, 1.15, 0.95)),
     ("dark", rectangle(-1.3, 0.2, 1.3, 0.45))),
    (),
    ((26, 158, 140), (34, 170, 110), (40, 140, 160)),
)  # fmt: skip

_CARAVAN = Shape(
    "caravan", 5.0, 2.2,
    (Solid(((0, 0.5), (0.1, 2.5), (4.6, 2.6), (5, 1.5), (4.8, 0.5)),
           ("white", "white", "white", "white", "under"), "white"),),
    (("glass", rectangle(0.6, 1.5, 1.9, 2.1)), ("dark", rectangle(2.6, 0.6, 3.2, 2.2)),
     ("dark", rectangle(0.1, 1.0, 4.7, 1.1))),
    (("glass", rectangle(-0.7, 1.5, 0.7, 2.1)),), (("glass", rectangle(-0.7, 1.5, 0.7, 2.1)),),
    ((2.4, 0.33),), ((238, 238, 236),),
)  # fmt: skip
_TRAILER = Shape(
    "trailer", 3.0, 1.7,
    (Solid(((0, 0.45), (0, 1.2), (3, 1.2), (3, 0.45)), ("dark", "dark", "dark", "under"), "dark"),),
    (("chrome", rectangle(0, 0.9, 3, 0.96)),),
    (("red_lamp", rectangle(-0.8, 0.5, -0.6, 0.65)), ("red_lamp", rectangle(0.6, 0.5, 0.8, 0.65))),
    (), ((1.5, 0.3),), ((70, 72, 76),),
)  # fmt: skip

KINDS: dict[str, tuple[Shape, ...]] = {
    "car": (SEDAN, HATCHBACK, VAN),
    "bus": (_BUS,),
    "truck": (_TRUCK,),
    "train": (_TRAIN,),
    "caravan": (_CARAVAN,),
    "trailer": (_TRAILER,),
}
