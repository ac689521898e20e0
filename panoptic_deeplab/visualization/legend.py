"""The legend: the strip that names the colors."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from panoptic_deeplab.errors import one_line
from panoptic_deeplab.visualization.palette import VOID_COLOR
from panoptic_deeplab.visualization.regions import Region, RegionMap
from panoptic_deeplab.visualization.text import font_of, shortened, text_width

PAPER = (250, 250, 250)
_INK, _FAINT_INK = (30, 30, 34), (120, 120, 128)
_MAX_SHADES = 4  # maximum number of instance colors in a swatch


@dataclass(frozen=True)
class LegendEntry:
    """The legend's entry of a class that occurs.

    Attributes:
        name: as in the data set.
        amount: "x5" instances for things, "35%" of the image for stuff and void.
        colors: one for stuff, the first few shades for things.
    """

    name: str
    amount: str
    colors: tuple[tuple[int, int, int], ...]


def legend_entries(region_map: RegionMap) -> dict[str, list[LegendEntry]]:
    """The classes that occur, by "things", "stuff" and "void", in the order of class indices.

    Groups without an entry are left out.
    """
    areas = region_map.areas()
    fractions = areas / areas.sum()
    things, stuff, stuff_fractions = defaultdict(list), {}, defaultdict(float)
    for region, fraction in zip(region_map.regions, fractions[1:], strict=True):
        if fraction and region.is_thing:
            things[region.category].append(region)
        elif fraction:
            stuff[region.category] = region
            stuff_fractions[region.category] += fraction
    groups = {
        "things": [_thing_entry(things[category]) for category in sorted(things)],
        "stuff": [
            LegendEntry(
                stuff[category].name, _percent(stuff_fractions[category]), (stuff[category].color,)
            )
            for category in sorted(stuff)
        ],
        "void": [LegendEntry("", _percent(fractions[0]), (VOID_COLOR,))] if fractions[0] else [],
    }
    return {title: entries for title, entries in groups.items() if entries}


def _thing_entry(regions: list[Region]) -> LegendEntry:
    """Such as 'car', 'x5', or 'x5 + group' where instances are annotated as a crowd too."""
    count = sum(not region.iscrowd for region in regions)
    parts = [f"x{count}"] * (count > 0) + ["group"] * (count < len(regions))
    colors = dict.fromkeys(region.color for region in regions)
    return LegendEntry(regions[0].name, " + ".join(parts), tuple(colors)[:_MAX_SHADES])


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.0f}%" if fraction >= 0.01 else "<1%"


def draw_legend(entries: dict[str, list[LegendEntry]], width: int, font_size: int) -> np.ndarray:
    """Draw the entries in rows that break at the width: [h, width, 3] uint8 RGB."""
    margin, row_height = round(0.7 * font_size), round(1.7 * font_size)
    swatch, gap = round(1.5 * font_size), round(0.4 * font_size)
    indent = margin + max(text_width(title, font_size) for title in entries) + margin
    texts, swatches, y = [], [], margin
    for title, group in entries.items():
        texts.append((margin, y, title, _FAINT_INK))
        x = indent
        for entry in group:
            amount_width = text_width(entry.amount, font_size)
            room = width - indent - swatch - 2 * gap - amount_width - margin
            name = shortened(one_line(entry.name), font_size, room)
            name_width = text_width(name, font_size) + gap if name else 0
            entry_width = swatch + gap + name_width + amount_width
            if x > indent and x + entry_width + margin > width:
                x, y = indent, y + row_height
            swatches.append((x, y, entry.colors))
            texts.append((x + swatch + gap, y, name, _INK))
            texts.append((x + swatch + gap + name_width, y, entry.amount, _FAINT_INK))
            x += entry_width + 2 * margin
        y += row_height
    canvas = Image.new("RGB", (width, y + margin), PAPER)
    draw = ImageDraw.Draw(canvas)
    for x, y, text, ink in texts:
        draw.text((x, y + row_height // 2), text, ink, font_of(text, font_size), anchor="lm")
    for x, y, colors in swatches:
        top, bottom = y + row_height // 5, y + row_height - row_height // 5
        _draw_swatch(draw, (x, top, x + swatch - 1, bottom - 1), colors)
    return np.asarray(canvas)


def _draw_swatch(
    draw: ImageDraw.ImageDraw,
    box: tuple[int, int, int, int],
    colors: tuple[tuple[int, int, int], ...],
) -> None:
    """Draw the colors side by side in a thin frame (left, top, right, bottom), inclusive."""
    left, top, right, bottom = box
    rims = np.linspace(left, right + 1, len(colors) + 1).round().astype(int).tolist()
    for start, end, color in zip(rims[:-1], rims[1:], colors, strict=True):
        draw.rectangle((start, top, end - 1, bottom), fill=color)
    draw.rectangle(box, outline=_FAINT_INK)
