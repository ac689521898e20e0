"""The statistics as a chart: for each class its fraction of the pixels and its segments."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, fontManager
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from panoptic_deeplab.check.splits import SplitCheck
from panoptic_deeplab.check.statistics import Statistics
from panoptic_deeplab.errors import one_line
from panoptic_deeplab.structures import DatasetInfo
from panoptic_deeplab.visualization.fonts import font_file_for
from panoptic_deeplab.visualization.text import shortened

_PAPER, _INK, _FAINT, _GRID, _BAR = "#fcfcfa", "#222228", "#84848c", "#e2e2de", "#7a92b2"
_DPI = 100
_WIDTH, _ROW, _FRAME = 13.6, 0.27, 4.3  # inches: image width, row of a class, everything else
_MAX_BINS, _MAX_NAME = 12, 190
_BAR_HEIGHTS, _BAR_OFFSETS = (0.54, 0.22), (-0.12, 0.28)  # in rows: first split, second split
_STRENGTHS = (1.0, 0.55)


def draw_statistics(checks: Sequence[SplitCheck]) -> np.ndarray | None:
    """Draw the statistics of one or two splits: [H, W, 3] uint8 RGB; None without annotations.

    Things first, then stuff, each by its fraction of the pixels. The second split has a thin bar
    below the first one's.
    """
    checks = [check for check in checks if check.statistics.annotated]
    if not checks:
        return None
    with rc_context({"font.family": _families(checks[0].statistics.info)}):
        return _drawn(checks)


def _families(info: DatasetInfo) -> list[str]:
    """Names of fonts with the letters of all classes; Matplotlib chooses one for each letter."""
    names = [info.name, *(category.name for category in info.categories)]
    paths = {file.path for file in map(font_file_for, names) if file is not None}
    for path in sorted(paths):
        fontManager.addfont(path)
    return ["DejaVu Sans", *(FontProperties(fname=path).get_name() for path in sorted(paths))]


def _drawn(checks: Sequence[SplitCheck]) -> np.ndarray:
    """Draw the chart of splits of which each has annotations."""
    splits = [check.statistics for check in checks]
    rows = _rows(splits)
    figure = Figure((_WIDTH, _FRAME + _ROW * len(rows)), dpi=_DPI, facecolor=_PAPER)
    canvas = FigureCanvasAgg(figure)
    (pixels, segments), histograms = _axes(figure, len(rows))
    _draw_head(figure, checks)
    _draw_bars(pixels, splits, rows, lambda split, i: 100 * split.pixel_fraction(i), _percent)
    pixels.set_title("fraction of the annotated pixels", loc="left", size=11, color=_INK)
    pixels.set_yticks(range(len(rows)), [_row_name(splits[0], row) for row in rows])
    for label, row in zip(pixels.get_yticklabels(), rows, strict=True):
        label.set_color(_FAINT if isinstance(row, str) else _INK)
    _draw_bars(segments, splits, rows, lambda split, i: split.classes[i].segments, "{:,.0f}".format)
    segments.set_title("segments (crowds not counted)", loc="left", size=11, color=_INK)
    segments.set_yticks([])
    _draw_histograms(histograms, checks[0])
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # letters that the font lacks are drawn as boxes
        canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _rows(splits: Sequence[Statistics]) -> list[int | str]:
    """The classes that occur, largest first, each group after its name (things, stuff)."""
    info = splits[0].info
    present = [i for i in range(info.num_classes) if any(s.classes[i].images for s in splits)]
    present.sort(key=lambda i: -max(split.pixel_fraction(i) for split in splits))
    rows: list[int | str] = []
    for kind, is_thing in (("things", True), ("stuff", False)):
        classes = [i for i in present if info.categories[i].is_thing == is_thing]
        rows += [kind, *classes] if classes else []
    return rows


def _axes(figure: Figure, rows: int) -> tuple[list[Axes], list[Axes]]:
    """The two panels of bars, and the two histograms below them."""
    height = figure.get_figheight()
    grid = figure.add_gridspec(
        2,
        2,
        height_ratios=(_ROW * rows + 0.3, 1.5),
        left=0.17,
        right=0.94,
        top=1 - 1.45 / height,
        bottom=0.5 / height,
        wspace=0.2,
        hspace=0.9 / (0.5 * height),
    )
    axes = [figure.add_subplot(cell) for cell in grid]
    for axis in axes:
        axis.set_facecolor(_PAPER)
        axis.spines[:].set_visible(False)
        axis.tick_params(length=0, labelsize=9, colors=_FAINT)
    return axes[:2], axes[2:]


def _draw_head(figure: Figure, checks: Sequence[SplitCheck]) -> None:
    height = figure.get_figheight()
    name = shortened(one_line(checks[0].statistics.info.name), 30, 680)
    figure.text(0.025, 1 - 0.5 / height, name, size=21, color=_INK, parse_math=False)
    handles = [
        Patch(color=_FAINT, alpha=strength, label=_split_name(check))
        for check, strength in zip(checks, _STRENGTHS, strict=False)
    ]
    place = (0.02, 1 - 0.55 / height)
    figure.legend(
        handles=handles, loc="upper left", bbox_to_anchor=place, ncols=2, frameon=False, fontsize=11
    )


def _split_name(check: SplitCheck) -> str:
    held = check.statistics
    return f"{check.name}: {held.images} images, {100 * held.void_fraction:.1f}% void"


def _row_name(split: Statistics, row: int | str) -> str:
    if isinstance(row, str):
        return row
    name = shortened(one_line(split.info.categories[row].name), 16, _MAX_NAME)
    return name.replace("$", r"\$")  # no formula


def _draw_bars(
    axis: Axes,
    splits: Sequence[Statistics],
    rows: Sequence[int | str],
    value_of: Callable[[Statistics, int], float],
    text: Callable[[float], str],
) -> None:
    """Draw a bar for each split in each class's row, followed by the first split's value."""
    values = {
        y: [value_of(split, row) for split in splits]
        for y, row in enumerate(rows)
        if not isinstance(row, str)
    }
    low, high = _limits([value for row in values.values() for value in row if value > 0])
    for y, amounts in values.items():
        color = np.array(splits[0].info.categories[rows[y]].color) / 255
        for value, height, offset, strength in zip(
            amounts, _BAR_HEIGHTS, _BAR_OFFSETS, _STRENGTHS, strict=False
        ):
            if value > 0:
                end = max(value, low * (high / low) ** 0.01)  # anything above 0 is visible
                fill = strength * color + (1 - strength)
                axis.barh(y + offset, end - low, height, low, color=fill, ec=0.75 * color, lw=0.8)
        place = (max(*amounts, low), y - 0.1)
        axis.annotate(
            text(amounts[0]),
            place,
            (5, 0),
            textcoords="offset points",
            va="center",
            size=9,
            color=_INK,
        )
    axis.set(xscale="log", xlim=(low, high), ylim=(len(rows) - 0.4, -0.6))
    axis.xaxis.set(major_locator=LogLocator(10), minor_locator=NullLocator())
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _tick_label(text(value))))
    axis.xaxis.tick_top()
    axis.xaxis.grid(True, color=_GRID)
    axis.set_axisbelow(True)


def _tick_label(text: str) -> str:
    """The label of a tick; none where a fraction of a segment is rounded to 0."""
    return "" if text == "0" else text


def _percent(value: float) -> str:
    """Three significant digits, never in scientific notation."""
    return np.format_float_positional(value, 3, fractional=False, trim="-") + "%"


def _limits(values: Sequence[float]) -> tuple[float, float]:
    """Limits of a logarithmic axis that show the smallest value and leave room for labels."""
    exponents = np.log10(values) if values else np.zeros(1)
    return 10.0 ** max(-5, np.floor(exponents.min() - 0.3)), 10.0 ** (exponents.max() + 0.4)


def _draw_histograms(axes: Sequence[Axes], check: SplitCheck) -> None:
    """Draw histograms of the instances per image and of their sizes."""
    held = check.statistics
    _draw_histogram(axes[0], held.instance_bins(_MAX_BINS))
    axes[0].set_title(
        f"images of {check.name} by their instances of things", loc="left", size=11, color=_INK
    )
    areas = [np.array(held.classes[i].areas) for i in held.info.thing_ids]
    sides = np.log2(np.concatenate([*areas, [1]]))[:-1] / 2
    sizes = np.bincount(sides.astype(int), minlength=1)
    _draw_histogram(axes[1], [(f"{2**n}-", count) for n, count in enumerate(sizes.tolist())])
    axes[1].set_title(
        f"instances of {check.name} by the side of a square as large, pixels",
        loc="left",
        size=11,
        color=_INK,
    )


def _draw_histogram(axis: Axes, bins: Sequence[tuple[str, int]]) -> None:
    names, counts = zip(*bins, strict=True)
    bars = axis.bar(range(len(bins)), counts, 0.95, color=_BAR)
    texts = [f"{count}" if count else "" for count in counts]
    axis.bar_label(bars, texts, padding=2, size=9, color=_FAINT)
    axis.set_xticks(range(len(bins)), names)
    axis.set_yticks([])
    axis.margins(y=0.2)
    axis.spines["bottom"].set(visible=True, color=_FAINT)
