"""What a comparison shows: images, tables, and both pages."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from comparing.images import arrange, choose_images
from comparing.pages import render
from comparing.report import tables
from toy_street import INFO


def method(name: str, pq: float, qualities: list[float]) -> dict[str, Any]:
    """As `comparing.measure` writes it, read back."""
    score = {"pq": pq, "sq": 0.5, "rq": None}
    counts = {"annotated": 4, "missed": 1, "wrong class": 0, "bad mask": 0, "false": 2}
    things = counts | {"merged": 1, "split": 0}
    kinds = {"Things": things, "Stuff": counts}
    names = {c.name: c.is_thing for c in INFO.categories}
    images = [
        {"image_id": f"image {i} <b>", "quality": quality, "mistakes": {"merged": 2}}
        for i, quality in enumerate(qualities)
    ]
    return {
        "name": name,
        "config": f"{name}.yml",
        "weights": "weights",
        "training": {"seconds": 90.0, "steps": 10, "images": None, "processes": 2},
        "parameters": 1_500_000,
        "multiply_adds": 2e9,
        "input_size": [64, 128],
        "peak_mb": None,
        "seconds": {"network": 0.02, "fusion": 0.001},
        "images": images,
        "errors": kinds
        | {"per_class": {n: things if is_thing else counts for n, is_thing in names.items()}},
        "scores": dict.fromkeys(("All", "Things", "Stuff"), score)
        | {"ap": 0.25, "ap50": 0.5, "miou": 0.75, "per_class": {n: {"pq": pq} for n in names}},
    }


def comparison() -> dict[str, Any]:
    methods = [method("a<script>", 0.5, [0.1, 0.9, 0.5]), method("b|c", 0.25, [0.9, 0.2, 0.5])]
    chosen = choose_images(methods, 1)
    return {
        "made": "2026-01-01",
        "device": "cpu",
        "machine": {"processor": "a processor", "threads": 1},
        "data": {
            "name": "street",
            "folder": "data/streets",
            "images": 3,
            "classes": [{"name": c.name, "is_thing": c.is_thing} for c in INFO.categories],
        },
        "train_seconds": 20,
        "methods": methods,
        "pictures": [
            {"image_id": methods[0]["images"][entry.index]["image_id"], "file": "pictures/01.jpg"}
            | {"why": entry.why, "quality": entry.quality, "mistakes": entry.mistakes}
            for entry in chosen
        ],
    }


def test_the_worst_images_and_the_largest_differences_are_chosen_once() -> None:
    methods = [method("a", 0.5, [0.1, 0.9, 0.5, 0.6]), method("b", 0.25, [0.3, 0.2, 0.5, 0.7])]
    chosen = choose_images(methods, 1)
    assert [(entry.index, entry.why) for entry in chosen] == [
        (0, "worst of a; b farthest ahead of a"),
        (1, "worst of b; a farthest ahead of b"),
    ]
    assert chosen[0].quality == {"a": 0.1, "b": 0.3}
    assert chosen[0].mistakes == {"a": {"merged": 2}, "b": {"merged": 2}}


def test_tables_highlight_better_values_and_only_those() -> None:
    quality, cost, things, _, classes = tables(comparison())
    assert quality.rows[0] == ["PQ", "50.0", "25.0"]
    assert quality.best[0] == [1]
    assert quality.rows[1] == ["SQ", "50.0", "50.0"]
    assert quality.best[1] == []  # equal
    assert quality.rows[2] == ["RQ", "n/a", "n/a"]
    assert ["training (minutes)", "1.5", "1.5"] in cost.rows
    assert ["images seen in training", "n/a", "n/a"] in cost.rows
    assert things.rows[0] == ["found", "2 (50%)", "2 (50%)"]
    assert classes.header[-1] == "difference"
    assert classes.rows[0] == ["road", "stuff", "4", "50.0", "25.0", "+25.0"]
    assert classes.bars == [0.25] * 4


class Page(HTMLParser):
    """What a browser would see."""

    VOID = ("meta", "img", "br", "link", "input")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.sources: list[str] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.sources += [value or "" for name, value in attrs if name in ("src", "href", "srcset")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "01.jpg").write_bytes(b"jpeg")
    return tmp_path


def test_the_page_is_whole_and_needs_nothing_from_outside(folder: Path) -> None:
    text = render("index.html", comparison(), folder)
    page = Page(text)
    assert page.open == []
    assert "script" not in page.tags
    assert page.sources == ["data:image/jpeg;base64,anBlZw=="] * 2
    assert "http" not in text
    assert "@import" not in text
    assert "url(" not in text
    assert page.tags.count("table") == 5
    for title in ("Quality", "Cost", "PQ by class", "What this shows, and what it does not"):
        assert title in page.texts
    assert "a<script>" in page.texts, "names are text, whatever is in them"
    assert "prefers-color-scheme:dark" in text


def test_markdown_has_the_same_tables_and_escapes_names(folder: Path) -> None:
    text = render("comparison.md", comparison(), folder)
    assert "| PQ | **50.0** | 25.0 |" in text
    assert "| b\\|c |" in text
    assert "![image 0 \\<b\\>](pictures/01.jpg)" in text
    for line in (line for line in text.splitlines() if line.startswith("| PQ")):
        assert line.count("|") == 4


def test_images_stand_two_in_a_row_without_their_legends() -> None:
    """60 x 100, two methods enlarged twice, with a legend of 30 below."""
    image = np.zeros((60, 100, 3), np.uint8)
    panel = np.full((150, 200, 3), 200, np.uint8)
    panel[120:] = 7
    sheet = arrange(image, {"ground truth": panel, "a": panel, "b": panel})
    assert sheet.shape[1] >= 2 * 200
    assert 2 * 120 < sheet.shape[0] < 2 * 150
    assert not (sheet == 7).all(axis=2).any()
