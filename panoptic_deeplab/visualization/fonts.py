"""Fonts by the letters that a text needs.

Pillow's own font has ASCII alone. Letters with accents, Cyrillic and Greek are in the DejaVu Sans
that comes with Matplotlib; Chinese, Japanese and Korean in Noto Sans, a package of its own. So
images look the same on every machine. What these lack is looked for in the system's fonts.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from functools import cache, lru_cache
from pathlib import Path
from typing import NamedTuple

from PIL import ImageFont

_CJK_PACKAGE, _CJK_FILE = "noto_cjk_sans_otc", "NotoSansCJK-Regular.ttc"
_SIMPLIFIED_CHINESE = 2  # face of the collection; all faces have the letters of all languages
_LESS_PLAIN = ("bold", "italic", "oblique", "light", "thin", "black", "condensed", "serif", "mono")


class FontFile(NamedTuple):
    """A font in a file that can hold several."""

    path: Path
    face: int = 0


@lru_cache(maxsize=64)
def load_font(file: FontFile | None, size: int) -> ImageFont.FreeTypeFont:
    """Load a font, `size` pixels high; None is Pillow's own."""
    if file is None:
        return ImageFont.load_default(size)
    return ImageFont.truetype(file.path, size, file.face)


@lru_cache(maxsize=1024)
def font_file_for(text: str) -> FontFile | None:
    """Find the first font with all letters of a text, else the one with most of them.

    Returns:
        None where Pillow's own font will do.
    """
    letters = {ord(letter) for letter in text if not letter.isspace()}
    if text.isascii():
        return None
    best, most = None, -1
    for file in _font_files():
        count = sum(letter in _letters_of(file.path) for letter in letters)
        if count > most:
            best, most = file, count
        if most == len(letters):
            break
    return best


def _font_files() -> Iterator[FontFile]:
    """Yield the fonts in the order in which they are asked for their letters."""
    import matplotlib  # here, for most texts are ASCII

    yield FontFile(Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf"))
    package = importlib.util.find_spec(_CJK_PACKAGE)
    if package is not None and package.origin is not None:
        yield FontFile(Path(package.origin).with_name(_CJK_FILE), _SIMPLIFIED_CHINESE)
    yield from _system_fonts()


@cache
def _system_fonts() -> list[FontFile]:
    """The fonts of the machine, plain ones first."""
    from matplotlib.font_manager import findSystemFonts

    def order(path: str) -> tuple[int, str]:
        return sum(word in path.lower() for word in _LESS_PLAIN), path

    return [FontFile(Path(path)) for path in sorted(findSystemFonts(), key=order)]


@cache
def _letters_of(path: Path) -> frozenset[int]:
    """The letters of a font; none of a file that cannot be used."""
    from matplotlib.ft2font import FT2Font

    try:
        return frozenset(FT2Font(str(path)).get_charmap())
    except (OSError, RuntimeError):
        return frozenset()
