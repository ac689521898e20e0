"""Light and air: the color that a painted face shows to the camera."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from scenes.camera import WorldPoint

Color = tuple[float, float, float]

UP: WorldPoint = (0.0, 1.0, 0.0)
TO_CAMERA: WorldPoint = (0.0, 0.0, -1.0)


def mix(one: Color, other: Color, fraction: float) -> Color:
    """`one` with a fraction (0..1) of `other`."""
    return tuple(a + (b - a) * fraction for a, b in zip(one, other, strict=True))


def vary(color: Color, random: Random, amount: float = 12) -> Color:
    """`color` made a little lighter, darker and otherwise tinted, by up to `amount` each."""
    shift = random.uniform(-amount, amount)
    return tuple(value + shift + random.uniform(-amount, amount) / 2 for value in color)


@dataclass(frozen=True)
class Weather:
    """The light of one scene.

    Attributes:
        sun: unit vector toward the sun.
        sunlight: (r, g, b) factor of a face that looks into the sun, added to `ambient`.
        ambient: (r, g, b) factor of a face in the shade.
        sky: colors at the horizon and at the top, 0..255.
        fog: meters at which 63 % of a color has become the horizon's.
        shadow: 0..1, how dark cast shadows are.
        lit: 0..1, fraction of windows with a lamp behind them.
        clouds: number of clouds.
    """

    sun: WorldPoint
    sunlight: Color
    ambient: Color
    sky: tuple[Color, Color]
    fog: float
    shadow: float
    lit: float
    clouds: int

    def shade(self, color: Color, normal: WorldPoint, depth: float) -> Color:
        """What a matt face of a color looks like; `normal` need not have unit length."""
        length = math.sqrt(sum(value * value for value in normal)) or 1.0
        facing = max(0.0, sum(a * b for a, b in zip(normal, self.sun, strict=True)) / length)
        lit = tuple(
            value * (around + facing * direct)
            for value, around, direct in zip(color, self.ambient, self.sunlight, strict=True)
        )
        return self.through_air(lit, depth)

    def through_air(self, color: Color, depth: float) -> Color:
        """What a color (or a lamp) looks like from `depth` meters away."""
        return mix(color, self.sky[0], 1 - math.exp(-depth / self.fog))

    @classmethod
    def random(cls, random: Random) -> Weather:
        """One of the `KINDS`, its sun anywhere in the sky and its colors slightly changed."""
        kind = random.choice(tuple(KINDS))
        height, turn = KINDS[kind]["height"], random.uniform(0, 2 * math.pi)
        flat = math.sqrt(1 - height * height)
        sun = (flat * math.sin(turn), height, flat * math.cos(turn))
        weather = cls(sun=sun, **{key: KINDS[kind][key] for key in KINDS[kind] if key != "height"})
        return replace(
            weather,
            sky=tuple(vary(color, random, 8) for color in weather.sky),
            fog=weather.fog * random.uniform(0.75, 1.3),
            clouds=random.randint(0, weather.clouds),
        )


def _kind(
    height: float, sunlight: Color, ambient: Color, horizon: Color, zenith: Color, **rest: Any
) -> dict[str, Any]:
    sky = (horizon, zenith)
    return {"height": height, "sunlight": sunlight, "ambient": ambient, "sky": sky} | rest


# fmt: off
KINDS: dict[str, dict[str, Any]] = {
    "clear": _kind(0.75, (.50, .48, .44), (.62, .64, .70), (206, 222, 236), (88, 142, 205),
                   fog=420.0, shadow=.45, lit=.0, clouds=3),
    "cloudy": _kind(0.90, (.22, .22, .22), (.74, .75, .78), (214, 217, 221), (158, 172, 190),
                    fog=260.0, shadow=.25, lit=.05, clouds=6),
    "overcast": _kind(0.95, (.10, .10, .10), (.76, .77, .80), (206, 208, 211), (178, 183, 190),
                      fog=190.0, shadow=.18, lit=.15, clouds=0),
    "evening": _kind(0.35, (.60, .42, .24), (.58, .54, .56), (248, 206, 160), (124, 140, 186),
                     fog=260.0, shadow=.45, lit=.2, clouds=5),
    "dusk": _kind(0.30, (.10, .09, .12), (.46, .46, .58), (168, 150, 172), (66, 80, 128),
                  fog=220.0, shadow=.2, lit=.55, clouds=3),
    "fog": _kind(0.95, (.06, .06, .06), (.78, .79, .80), (204, 207, 210), (192, 197, 202),
                 fog=75.0, shadow=.12, lit=.2, clouds=0),
}
# fmt: on
