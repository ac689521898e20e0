"""The font, the width of texts, and texts shortened to fit."""

from __future__ import annotations

from functools import lru_cache

from PIL import ImageFont

from panoptic_deeplab.visualization.fonts import font_file_for, load_font

MIN_FONT_SIZE = 11
"""In pixels; smaller letters cannot be read."""


def font_of(text: str, size: int) -> ImageFont.FreeTypeFont:
    """The font for a text, `size` pixels high."""
    return load_font(font_file_for(text), size)


@lru_cache(maxsize=1024)
def text_width(text: str, size: int) -> int:
    """The width of a line in pixels."""
    return round(font_of(text, size).getlength(text) + 0.5)


def shortened(text: str, size: int, width: int) -> str:
    """The text, cut and ended by dots if it is wider than `width` pixels."""
    if text_width(text, size) <= width:
        return text
    kept = next(
        (end for end in range(len(text), 0, -1) if text_width(text[:end] + "..", size) <= width), 0
    )
    return text[:kept].rstrip() + ".." if kept else ""
