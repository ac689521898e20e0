"""Results as a picture: a bar for each, as long as it is many times as fast."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from benchmarking.contest import Result
from benchmarking.report import Measured, amount, duration, format_machine, times
from panoptic_deeplab.visualization.text import font_of, shortened

# Cityscapes' own colours: sky, person, fence
COLORS = {True: (70, 130, 180), False: (220, 20, 60), None: (190, 153, 153)}
MEANINGS = {True: "goal reached", False: "goal missed", None: "no goal"}
PAPER, INK, FAINT, LINE = (255, 255, 255), (30, 30, 34), (120, 120, 128), (226, 226, 230)

WIDTH, MARGIN = 1280, 32
LEFT, RIGHT = 440, WIDTH - 200  # of the bars
TITLE, HEADING, NAME, SMALL = 30, 20, 17, 13
ROW, BAR = 52, 22


def draw_plot(measured: Sequence[Measured], machine: Mapping[str, Any]) -> np.ndarray:
    """[H, W, 3] uint8 RGB."""
    groups = [
        (subject, [result for _, result in group])
        for subject, group in groupby(measured, key=lambda pair: pair[0])
    ]
    height = 150 + sum(48 + ROW * len(results) for _, results in groups) + 60
    picture = Image.new("RGB", (WIDTH, height), PAPER)
    pen = ImageDraw.Draw(picture)
    pen.text((MARGIN, 24), "How many times as fast", INK, font_of(TITLE))
    for number, line in enumerate(format_machine(machine).splitlines()):
        text = shortened(line, SMALL, WIDTH - 2 * MARGIN)
        pen.text((MARGIN, 66 + 19 * number), text, FAINT, font_of(SMALL))
    scale = Scale.around([factor for _, result in measured for factor in factors(result)])
    top = 126
    for subject, results in groups:
        top = _draw_group(pen, subject, results, scale, top)
    _draw_legend(pen, top + 22)
    return np.asarray(picture)


def factors(result: Result) -> list[float]:
    """The length of its bar and, where there is a goal, the goal's place."""
    if result.is_of_memory:
        return [result.memory_ratio, result.goal_memory]
    return [result.speedup] if result.goal is None else [result.speedup, result.goal]


class Scale:
    """A logarithmic axis: factors to columns."""

    def __init__(self, low: float, high: float) -> None:
        self.low, self.high = low, high

    @classmethod
    def around(cls, factors: Sequence[float]) -> Scale:
        """From 1, or less if need be, to the next power of ten."""
        low = min(1.0, *(factor / 1.25 for factor in factors))
        return cls(low, 10.0 ** max(1, math.ceil(math.log10(max(factors)))))

    def column(self, factor: float) -> int:
        """Where a factor lies, in pixels."""
        share = math.log(factor / self.low) / math.log(self.high / self.low)
        return round(LEFT + min(max(share, 0), 1) * (RIGHT - LEFT))

    def ticks(self) -> list[float]:
        """1, 2, 5, 10, ... as far as the axis goes."""
        decades = range(math.floor(math.log10(self.low)), round(math.log10(self.high)) + 1)
        steps = [digit * 10.0**decade for decade in decades for digit in (1, 2, 5)]
        return [step for step in steps if self.low <= step <= self.high]


def _draw_group(
    pen: ImageDraw.ImageDraw, subject: str, results: Sequence[Result], scale: Scale, top: int
) -> int:
    """The subject's heading and bars; where the next one begins."""
    bottom = top + 44 + ROW * len(results)
    pen.text((MARGIN, top + 10), subject, INK, font_of(HEADING))
    for tick in scale.ticks():
        column = scale.column(tick)
        pen.line([(column, top + 40), (column, bottom)], FAINT if tick == 1 else LINE)
        pen.text((column, top + 32), times(tick), FAINT, font_of(SMALL), anchor="ms")
    for number, result in enumerate(results):
        _draw_bar(pen, result, scale, top + 44 + ROW * number)
    return bottom + 4


def _draw_bar(pen: ImageDraw.ImageDraw, result: Result, scale: Scale, top: int) -> None:
    room = LEFT - MARGIN - 24
    pen.text((MARGIN, top + 4), shortened(result.name, NAME, room), INK, font_of(NAME))
    against = shortened(f"against {result.baseline_name}", SMALL, room)
    pen.text((MARGIN, top + 27), against, FAINT, font_of(SMALL))

    length, *goal = map(scale.column, factors(result))
    ends = sorted((scale.column(1), length))
    box = (ends[0], top + 10, max(ends[1], ends[0] + 2), top + 10 + BAR)
    pen.rounded_rectangle(box, radius=3, fill=COLORS[result.reached])
    for column in goal:
        pen.line([(column, top + 5), (column, top + 15 + BAR)], INK, width=2)
    pen.text((RIGHT + 16, top + 4), times(factors(result)[0]), INK, font_of(NAME))
    pen.text((RIGHT + 16, top + 27), _in_words(result), FAINT, font_of(SMALL))


def _in_words(result: Result) -> str:
    if result.is_of_memory:
        return "the memory"
    if result.goal_mb is not None:
        return f"{duration(result.seconds)}, {amount(result.peak_mb)} MB"
    return f"{duration(result.seconds)} / {duration(result.baseline_seconds)}"


def _draw_legend(pen: ImageDraw.ImageDraw, top: int) -> None:
    column = MARGIN
    for verdict, meaning in MEANINGS.items():
        pen.rounded_rectangle((column, top, column + 16, top + 16), radius=3, fill=COLORS[verdict])
        pen.text((column + 24, top + 1), meaning, INK, font_of(SMALL))
        column += 140
    pen.line([(column + 8, top - 2), (column + 8, top + 18)], INK, width=2)
    pen.text((column + 24, top + 1), "the goal", INK, font_of(SMALL))
