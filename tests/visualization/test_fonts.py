"""Letters of all kinds have a font, and are no boxes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from panoptic_deeplab.visualization import fonts
from panoptic_deeplab.visualization.fonts import FontFile, font_file_for, load_font
from panoptic_deeplab.visualization.text import font_of, text_width

NAMES = {
    "German": "Fußgänger",
    "French": "été",
    "Polish": "łódź",
    "Vietnamese": "đường",
    "Russian": "дорога",
    "Greek": "δρόμος",
    "Chinese": "汽车",
    "traditional Chinese": "汽車",
    "Japanese": "自転車 ビル",
    "Korean": "나무",
    "mixed": "汽车 café 0.93",
}


def drawn(text: str) -> np.ndarray:
    canvas = Image.new("L", (40, 40))
    ImageDraw.Draw(canvas).text((20, 20), text, 255, font_of(text, 24), anchor="mm")
    return np.asarray(canvas)


@pytest.mark.parametrize("language", NAMES)
def test_no_letter_is_a_box(language: str) -> None:
    letters = set(NAMES[language]) - {" "}
    images = {drawn(letter).tobytes() for letter in letters}
    assert len(images) == len(letters)
    assert drawn("\U0010fffd").tobytes() not in images  # which no font has
    assert text_width(NAMES[language], 20) > 20


def test_ascii_needs_no_other_font_than_before() -> None:
    assert font_file_for("traffic light 0.93") is None
    assert load_font(None, 14).getname()[0] == "Aileron"


def test_simplified_chinese_has_its_own_forms() -> None:
    assert font_of(NAMES["Chinese"], 14).getname()[0] == "Noto Sans CJK SC"


def test_the_font_with_most_letters_is_taken_where_none_has_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What no font has is a box, the other letters are none; broken files do not matter."""
    found = list(fonts._font_files())[:2]
    broken = FontFile(Path(__file__))
    monkeypatch.setattr(fonts, "_font_files", lambda: iter([broken, *found]))
    font_file_for.cache_clear()
    assert font_file_for("汽车\U0010fffd") == found[1]
    assert font_file_for("é\U0010fffd") == found[0]
    font_file_for.cache_clear()


def test_without_the_package_the_fonts_of_the_system_are_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    package = list(fonts._font_files())[1]
    monkeypatch.setattr(fonts, "_CJK_PACKAGE", "there_is_no_such_package")
    monkeypatch.setattr(fonts, "_system_fonts", lambda: [package])
    font_file_for.cache_clear()
    assert font_file_for(NAMES["Chinese"]) == package
    font_file_for.cache_clear()
