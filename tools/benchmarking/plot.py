"""Results as an image: a bar for each, its length the speedup."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from benchmarking.comparison import Result
from benchmarking.report import Measured, amount, duration, format_machine, times

# Cityscapes' own colors: sky, person, fence
COLORS = {True: "#4682b4", False: "#dc143c", None: "#be9999"}
MEANINGS = {True: "goal reached", False: "goal missed", None: "no goal"}
INK, FAINT, LINE = "#1e1e22", "#787880", "#e2e2e6"

_DPI = 100
_WIDTH, _ROW, _FRAME = 12.8, 0.52, 2.2  # inches: image width, row of a result, everything else


def draw_plot(measured: Sequence[Measured], machine: Mapping[str, Any]) -> np.ndarray:
    """Draw the results: [H, W, 3] uint8 RGB."""
    height = _FRAME + _ROW * len(measured)
    figure = Figure((_WIDTH, height), dpi=_DPI, facecolor="white")
    canvas = FigureCanvasAgg(figure)
    figure.text(0.025, 1 - 0.4 / height, "Speedup", size=21, color=INK)
    figure.text(
        0.025, 1 - 0.5 / height, format_machine(machine), size=9, color=FAINT, va="top", wrap=True
    )
    axis = figure.add_axes((0.36, 0.55 / height, 0.48, 1 - (_FRAME - 0.45) / height))
    for y, (subject, result) in enumerate(measured):
        _draw_result(axis, y, subject, result)
    ends = [1.0, *(factor for _, result in measured for factor in factors(result))]
    axis.set(xscale="log", ylim=(len(measured) - 0.4, -0.6), xlim=(min(ends) / 1.25, max(ends) * 2))
    axis.xaxis.set(major_locator=LogLocator(10, (1, 2, 5)), minor_locator=NullLocator())
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: times(value)))
    axis.xaxis.tick_top()
    axis.xaxis.grid(True, color=LINE)
    axis.axvline(1, color=FAINT, lw=1)
    axis.set_axisbelow(True)
    axis.set_yticks([])
    axis.tick_params(length=0, labelsize=9, colors=FAINT)
    axis.spines[:].set_visible(False)
    handles = [Patch(color=COLORS[verdict], label=text) for verdict, text in MEANINGS.items()]
    goal = Line2D([], [], color=INK, lw=0, marker="|", ms=14, mew=2, label="the goal")
    figure.legend(handles=[*handles, goal], loc="lower left", ncols=4, frameon=False, fontsize=9)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def factors(result: Result) -> list[float]:
    """The length of a result's bar and, where there is a goal, its position."""
    if result.is_of_memory:
        return [result.memory_ratio, result.goal_memory]
    return [result.speedup] if result.goal is None else [result.speedup, result.goal]


def _draw_result(axis: Any, y: int, subject: str, result: Result) -> None:
    """Draw a bar from 1 to the factor, a line at the goal, and what was compared in words."""
    factor, *goal = factors(result)
    axis.barh(y, factor - 1, 0.45, 1, color=COLORS[result.reached])
    for place in goal:
        axis.plot([place, place], [y - 0.35, y + 0.35], color=INK, lw=2)
    left, right = {"ha": "left", "x": -0.7}, {"ha": "left", "x": 1.02}
    for texts, sides in (
        ((f"{subject}: {result.name}", f"against {result.baseline_name}"), left),
        ((times(factor), _in_words(result)), right),
    ):
        for text, offset, size, color in zip(texts, (0, 0.3), (11, 9), (INK, FAINT), strict=True):
            axis.text(
                s=text,
                y=y + offset - 0.12,
                size=size,
                color=color,
                va="center",
                transform=axis.get_yaxis_transform(),
                parse_math=False,
                **sides,
            )


def _in_words(result: Result) -> str:
    if result.is_of_memory:
        return "the memory"
    if result.goal_mb is not None:
        return f"{duration(result.seconds)}, {amount(result.peak_mb)} MB"
    return f"{duration(result.seconds)} / {duration(result.baseline_seconds)}"
