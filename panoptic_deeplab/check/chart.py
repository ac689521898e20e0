"""The statistics as a picture: for each class its share of the pixels and its segments."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from panoptic_deeplab.check.splits import SplitCheck
from panoptic_deeplab.check.statistics import Statistics
from panoptic_deeplab.errors import one_line
from panoptic_deeplab.visualization.text import font_of, shortened, text_width

_PAPER, _INK, _FAINT, _GRID = (252, 252, 250), (34, 34, 40), (132, 132, 140), (226, 226, 222)
_BAR = (122, 146, 178)
_TITLE, _TEXT, _SMALL = 30, 16, 13  # pixels of letters
_MARGIN, _GAP, _NAMES = 36, 34, 190
_PANEL, _VALUE = 430, 92  # width of the bars, and of the number behind them
_ROW, _HEAD, _GROUP = 30, 116, 40
_THICK, _THIN = 15, 6  # a class's bar of the first split, and of the second below it
_HISTOGRAM, _MOST_BINS = 130, 12
_WIDTH = 2 * _MARGIN + _NAMES + 2 * (_GAP + _PANEL + _VALUE)


@dataclass(frozen=True)
class _Scale:
    """A logarithmic axis from `low` to `high`; 0 has no place on it."""

    low: float
    high: float
    tell: Callable[[float], str]

    def place(self, value: float) -> int:
        """Pixels from the left; what there is at all is seen."""
        if value <= 0:
            return 0
        part = math.log10(value / self.low) / math.log10(self.high / self.low)
        return max(3, round(_PANEL * min(part, 1)))

    def ticks(self) -> list[float]:
        """The powers of ten."""
        first, last = math.ceil(math.log10(self.low)), round(math.log10(self.high))
        return [10.0**n for n in range(first, last + 1)]


def draw_statistics(checks: Sequence[SplitCheck]) -> np.ndarray | None:
    """[H, W, 3] uint8 RGB; None where nothing is annotated.

    Things first, then stuff, each by its share of the pixels. The second split has a thin bar
    below the first one's. Classes without a segment are counted below.
    """
    checks = [check for check in checks if check.statistics.annotated]
    if not checks:
        return None
    groups = _groups([check.statistics for check in checks])
    rows = sum(_GROUP + _ROW * len(group) for group in groups.values())
    below = _HISTOGRAM + 150
    canvas = Image.new("RGB", (_WIDTH, _HEAD + 40 + rows + below), _PAPER)
    draw = ImageDraw.Draw(canvas)
    _draw_head(draw, checks)
    bottom = _draw_classes(draw, checks, groups, _HEAD + 40)
    _draw_histograms(draw, checks, bottom + 50)
    return np.asarray(canvas)


def _groups(splits: Sequence[Statistics]) -> dict[str, list[int]]:
    """The classes that occur, by kind, the largest first."""
    info = splits[0].info
    present = [i for i in range(info.num_classes) if any(s.classes[i].images for s in splits)]
    present.sort(key=lambda i: -max(split.share(i) for split in splits))
    groups = {
        "things": [i for i in present if info.categories[i].is_thing],
        "stuff": [i for i in present if not info.categories[i].is_thing],
    }
    return {title: group for title, group in groups.items() if group}


def _draw_head(draw: ImageDraw.ImageDraw, checks: Sequence[SplitCheck]) -> None:
    info = checks[0].statistics.info
    title = shortened(one_line(info.name), _TITLE, _WIDTH // 2)
    draw.text((_MARGIN, 26), title, _INK, font_of(_TITLE))
    x = _MARGIN
    for check, thickness in zip(checks, (_THICK, _THIN), strict=False):
        held = check.statistics
        text = f"{check.name}: {held.images} images, {100 * held.void_share:.1f}% void"
        draw.rounded_rectangle((x, 78 - thickness // 2, x + 26, 78 + thickness // 2), 2, _FAINT)
        draw.text((x + 36, 78), text, _INK, font_of(_TEXT), anchor="lm")
        x += 36 + text_width(text, _TEXT) + _GAP


def _draw_classes(
    draw: ImageDraw.ImageDraw,
    checks: Sequence[SplitCheck],
    groups: dict[str, list[int]],
    top: int,
) -> int:
    """The two panels of bars; returns where they end."""
    splits = [check.statistics for check in checks]
    height = sum(_GROUP + _ROW * len(group) for group in groups.values())
    scales = (_share_scale(splits), _count_scale(splits))
    left = _MARGIN + _NAMES + _GAP
    lefts = (left, left + _PANEL + _VALUE + _GAP)
    titles = ("share of the annotated pixels", "segments (crowds not counted)")
    for x, scale, title in zip(lefts, scales, titles, strict=True):
        _draw_axis(draw, x, top, height, scale, title)
    y = top
    for title, group in groups.items():
        draw.text((_MARGIN, y + _GROUP // 2 + 4), title, _FAINT, font_of(_TEXT), anchor="lm")
        y += _GROUP
        for index in group:
            _draw_name(draw, splits[0], index, y)
            values = ([s.share(index) for s in splits], [s.classes[index].segments for s in splits])
            for x, scale, amounts in zip(lefts, scales, values, strict=True):
                _draw_bars(draw, (x, y), amounts, scale, splits[0].info.categories[index].color)
            y += _ROW
    return y


def _share_scale(splits: Sequence[Statistics]) -> _Scale:
    shares = [s.share(i) for s in splits for i in range(s.info.num_classes) if s.share(i)]
    low = 10.0 ** max(-7, math.floor(math.log10(min(shares, default=0.1))))
    return _Scale(min(low, 0.01), 1.0, lambda share: f"{100 * share:.3g}%")


def _count_scale(splits: Sequence[Statistics]) -> _Scale:
    most = max(entry.segments for split in splits for entry in split.classes)
    high = 10.0 ** max(1, math.ceil(math.log10(max(1, most))))
    return _Scale(0.5, high, lambda count: f"{count:,.0f}")


def _draw_axis(
    draw: ImageDraw.ImageDraw, left: int, top: int, height: int, scale: _Scale, title: str
) -> None:
    draw.text((left, top - 34), title, _INK, font_of(_TEXT), anchor="lm")
    for tick in scale.ticks():
        x = left + scale.place(tick)
        draw.line((x, top, x, top + height), _GRID)
        draw.text((x, top - 12), scale.tell(tick), _FAINT, font_of(_SMALL), anchor="mm")


def _draw_name(draw: ImageDraw.ImageDraw, split: Statistics, index: int, y: int) -> None:
    name = shortened(one_line(split.info.categories[index].name), _TEXT, _NAMES)
    place = (_MARGIN + _NAMES, y + _ROW // 2)
    draw.text(place, name, _INK, font_of(_TEXT), anchor="rm")


def _draw_bars(
    draw: ImageDraw.ImageDraw,
    corner: tuple[int, int],
    amounts: Sequence[float],
    scale: _Scale,
    color: tuple[int, int, int],
) -> None:
    """One bar a split, and the first one's number behind them."""
    left, top = corner
    y = top + (_ROW - _THICK - _THIN - 1) // 2
    lengths = [scale.place(amount) for amount in amounts]
    for length, thickness, strength in zip(lengths, (_THICK, _THIN), (1.0, 0.55), strict=False):
        if length:
            fill = tuple(round(strength * c + (1 - strength) * 255) for c in color)
            box = (left, y, left + length, y + thickness - 1)
            draw.rounded_rectangle(box, 2, fill, outline=_edge(color))
        y += thickness + 1
    place = (left + max(lengths) + 8, top + (_ROW - _THIN) // 2)
    draw.text(place, scale.tell(amounts[0]), _INK, font_of(_SMALL), anchor="lm")


def _edge(color: tuple[int, int, int]) -> tuple[int, ...]:
    """A darker line around, without which a light class would fade into the paper."""
    return tuple(round(0.75 * value) for value in color)


def _draw_histograms(draw: ImageDraw.ImageDraw, checks: Sequence[SplitCheck], top: int) -> None:
    """How many instances an image has, and how large they are."""
    held = checks[0].statistics
    left = _MARGIN + _NAMES + _GAP
    title = f"images of {checks[0].name} by their instances of things"
    _draw_histogram(draw, (left, top), title, held.instance_bins(_MOST_BINS))
    areas = [np.array(held.classes[i].areas) for i in held.info.thing_ids]
    lengths = np.log2(np.concatenate([*areas, [1]]))[:-1] / 2 if areas else np.zeros(0)
    sizes = np.bincount(lengths.astype(int)) if lengths.size else np.zeros(1, int)
    title = f"instances of {checks[0].name} by the side of a square as large, pixels"
    bins = [(f"{2**n}-", count) for n, count in enumerate(sizes.tolist())]
    _draw_histogram(draw, (left + _PANEL + _VALUE + _GAP, top), title, bins)


def _draw_histogram(
    draw: ImageDraw.ImageDraw,
    corner: tuple[int, int],
    title: str,
    bins: Sequence[tuple[str, int]],
) -> None:
    left, top = corner
    draw.text((left, top), title, _INK, font_of(_TEXT), anchor="lm")
    base, width = top + 36 + _HISTOGRAM, _PANEL / len(bins)
    most = max(1, *(count for _, count in bins))
    for place, (name, count) in enumerate(bins):
        x, height = left + place * width, round(_HISTOGRAM * count / most)
        if count:
            draw.rounded_rectangle((x, base - height, x + width - 3, base), 2, _BAR)
            middle = (x + width / 2 - 1, base - height - 9)
            draw.text(middle, f"{count}", _FAINT, font_of(_SMALL), anchor="mm")
        draw.text((x + width / 2 - 1, base + 13), name, _FAINT, font_of(_SMALL), anchor="mm")
    draw.line((left, base, left + _PANEL, base), _FAINT)
