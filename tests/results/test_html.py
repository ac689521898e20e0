"""The page of a prediction: all in one file, safe whatever the names, and as a browser shows it."""

from __future__ import annotations

import base64
import html.parser
import io
import json
import shutil
import zlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from panoptic_deeplab.errors import DataError, UsageError
from panoptic_deeplab.result import Result
from panoptic_deeplab.results import html as html_module
from panoptic_deeplab.results.folder import make_forms, prepared
from panoptic_deeplab.results.writer import ResultWriter
from panoptic_deeplab.structures import Category, DatasetInfo, PanopticMap, Prediction, Segment

if TYPE_CHECKING:
    from playwright.sync_api import Page

HOSTILE = '</script><script>boom()</script><!--"&amp;'
INFO = DatasetInfo(
    "streets",
    (
        Category("road", False, (128, 64, 128), 7),
        Category("car", True, (0, 0, 142), 26),
        Category(HOSTILE, True, (220, 20, 60), 24),
    ),
)
IDS = np.zeros((32, 64), np.int32)
IDS[8:] = 1
IDS[12:20, 8:24] = 2
IDS[12:20, 40:56] = 3
AREAS = {1: 24 * 64 - 256, 2: 128, 3: 128}


def street(category: int = 1, track_id: int | None = None) -> Result:
    """A road with two things of this class, on a green image."""
    image = np.full((32, 64, 3), (0, 160, 0), np.uint8)
    segments = [
        Segment(1, 0, score=0.875, area=AREAS[1]),
        Segment(2, category, score=0.5, area=128, track_id=track_id),
        Segment(3, category, score=None, area=128),
    ]
    return Result(image, Prediction(IDS, segments), INFO)


def write(folder: Path, results: Mapping[str, Result]) -> Path:
    """Write the page of results by the names of their images; return it."""
    folder.mkdir(exist_ok=True)
    forms = make_forms(folder, INFO, ["html"])
    with prepared(folder, forms, list(results)):
        for name, result in results.items():
            result.path = Path(f"{name}.jpg")
            ResultWriter(folder, forms).write(name, result)
    return folder / "html" / "index.html"


class Scripts(html.parser.HTMLParser):
    """Collects the scripts of a page, and refuses tags that are not closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag == "script":
            self.scripts.append((dict(attributes), ""))
        if tag not in ("meta", "link"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            attributes, text = self.scripts[-1]
            self.scripts[-1] = (attributes, text + data)


def read(page: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return what a page lists, and the images that it holds."""
    parser = Scripts()
    parser.feed(page.read_text("utf-8"))
    parser.close()
    assert parser.open == []
    listed = [json.loads(text) for a, text in parser.scripts if a.get("id") == "page"]
    images = [json.loads(text) for a, text in parser.scripts if a.get("class") == "image"]
    assert len(listed) + len(images) + 1 == len(parser.scripts)  # and the page's own
    return listed[0], images


def decoded(text: str, height: int, width: int) -> np.ndarray:
    """[H, W] ids, as the page's script decodes them."""
    rows = np.frombuffer(zlib.decompress(base64.b64decode(text)), "<u4").reshape(height, width)
    return np.bitwise_xor.accumulate(rows, axis=0)


def test_the_page_holds_everything(tmp_path: Path) -> None:
    result = street(track_id=7)
    result.ground_truth = PanopticMap(
        np.where(IDS > 1, 70000 * IDS, 0), [Segment(140000, 1, iscrowd=True), Segment(210000, 1)]
    )
    page, images = read(write(tmp_path, {"a/b": result, "c": street()}))
    assert page["categories"] == INFO.to_dict()["categories"]
    assert [image["title"] for image in page["images"]] == ["a/b.jpg", "c.jpg"]
    first = images[0]
    assert (first["width"], first["height"]) == (64, 32)
    np.testing.assert_array_equal(decoded(first["ids"], 32, 64), IDS)
    assert [list(segment.values()) for segment in first["segments"]] == [
        [1, 0, 0.875, AREAS[1], None, 0],
        [2, 1, 0.5, 128, 7, 0],
        [3, 1, None, 128, None, 0],
    ]
    truth = first["groundTruth"]
    np.testing.assert_array_equal(decoded(truth["ids"], 32, 64), np.where(IDS > 1, 70000 * IDS, 0))
    assert [(s["id"], s["area"], s["iscrowd"]) for s in truth["segments"]] == [
        (140000, 128, 1),
        (210000, 128, 0),
    ]
    kind, content = first["image"].split(",")
    assert kind == "data:image/jpeg;base64"
    jpeg = np.asarray(Image.open(io.BytesIO(base64.b64decode(content))))
    np.testing.assert_allclose(jpeg, result.image, atol=3)
    assert images[1]["groundTruth"] is None


def test_the_page_asks_for_nothing_else(tmp_path: Path) -> None:
    text = write(tmp_path, {"a": street()}).read_text("utf-8")
    assert "default-src 'none'" in text
    assert "http://" not in text
    assert "https://" not in text


def test_names_end_no_script_and_no_element(tmp_path: Path) -> None:
    name = "</script><h1>&"
    page = write(tmp_path, {name: street(category=2)})
    listed, images = read(page)
    assert listed["images"][0]["title"] == "</script><h1>&.jpg"
    assert listed["categories"][2]["name"] == HOSTILE
    assert images[0]["segments"][1]["category"] == 2
    assert "<h1>&" not in page.read_text("utf-8")


def test_a_file_that_was_changed_ends_no_script_either(tmp_path: Path) -> None:
    write(tmp_path, {"a": street()})
    path = tmp_path / "html" / "images" / "a.js"
    path.write_bytes(b"</script><script>boom()</script>" + path.read_bytes())
    write(tmp_path, {"b": street()})
    assert "<script>boom" not in (tmp_path / "html" / "index.html").read_text("utf-8")


def test_a_second_prediction_adds(tmp_path: Path) -> None:
    write(tmp_path, {"b": street(), "c": street()})
    page, images = read(write(tmp_path, {"a": street(), "c": street(category=2)}))
    assert [image["title"] for image in page["images"]] == ["a.jpg", "b.jpg", "c.jpg"]
    assert [image["segments"][1]["category"] for image in images] == [1, 1, 2]


def test_other_classes_are_refused(tmp_path: Path) -> None:
    write(tmp_path, {"a": street()})
    other = replace(INFO, categories=INFO.categories[:2])
    forms = make_forms(tmp_path, other, ["html"])
    with (
        pytest.raises(UsageError, match=r"html/index\.html: lists results of a model with other"),
        prepared(tmp_path, forms, ["b"]),
    ):
        pass


def test_large_sets_lie_beside_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = len((write(tmp_path, {"a": street()}).parent / "images" / "a.js").read_bytes())
    monkeypatch.setattr(html_module, "MAX_EMBEDDED_BYTES", 2 * one)
    assert len(read(write(tmp_path, {"b": street()}))[1]) == 2
    page, images = read(write(tmp_path, {"c #1%": street()}))
    assert images == []
    assert [image["file"] for image in page["images"]][1:] == [
        "images/b.js",
        "images/c%20%231%25.js",
    ]


def test_the_journal_names_one_file_of_each_image(tmp_path: Path) -> None:
    write(tmp_path, {"a": street()})
    line = {"form": "html", "key": "../../b", "files": [], "entry": {"title": "b", "bytes": 1}}
    with (tmp_path / "results.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")
    with pytest.raises(DataError, match=r"damaged \(expected one file of an image, got \(\)\)"):
        write(tmp_path, {"a": street()})


def test_a_huge_image_is_shown_smaller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(html_module, "MAX_SIDE", 30)
    (image,) = read(write(tmp_path, {"a": street()}))[1]
    assert (image["width"], image["height"]) == (22, 11)
    np.testing.assert_array_equal(decoded(image["ids"], 11, 22), IDS[::3, ::3])
    assert [segment["area"] for segment in image["segments"]] == [AREAS[1], 128, 128]
    jpeg = base64.b64decode(image["image"].split(",")[1])
    assert Image.open(io.BytesIO(jpeg)).size == (22, 11)


# --- in a browser ---


def opened(page: Page, path: Path, number: int = 1) -> None:
    """Open a page from the disk at an image, and wait until it is shown."""
    page.goto(f"{path.as_uri()}#{number}")
    page.locator(".viewer tbody tr").first.wait_for()


def tip_at(page: Page, y: int, x: int) -> str:
    """Point at a pixel of the prediction and return what the page says."""
    layers = page.locator(".viewer-layers").first
    layers.scroll_into_view_if_needed()
    box = layers.bounding_box()
    assert box is not None
    left, top = (x + 0.5) * box["width"] / 64, (y + 0.5) * box["height"] / 32
    page.mouse.move(box["x"] + left, box["y"] + top)
    return page.locator(".viewer-tip").inner_text()


@pytest.fixture(scope="module")
def street_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three images: cars, hostile things, cars with a track and ground truth."""
    tracked = street(track_id=7)
    tracked.ground_truth = PanopticMap(IDS * 9, [Segment(9 * i, min(i - 1, 1)) for i in (1, 2, 3)])
    results = {"a": street(), "b</option>": street(category=2), "c#%": tracked}
    return write(tmp_path_factory.mktemp("page") / "out", results)


@pytest.fixture(scope="module")
def large_page(street_page: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with the images in files beside it, moved elsewhere since."""
    folder = tmp_path_factory.mktemp("large") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(html_module, "MAX_EMBEDDED_BYTES", 0)
        results = {"a": street(), "b</option>": street(category=2), "c#%": street(track_id=7)}
        page = write(folder, results)
    moved = folder.with_name("moved here")
    shutil.move(page.parent, moved)
    return moved / "index.html"


@pytest.mark.parametrize("kind", ["street_page", "large_page"])
def test_a_browser_shows_the_class_at_a_pixel_from_the_disk(
    kind: str, page: Page, request: pytest.FixtureRequest
) -> None:
    asked: list[str] = []
    page.on("request", lambda one: asked.append(one.url))
    opened(page, request.getfixturevalue(kind))
    assert tip_at(page, 13, 9) == "car score 0.500, 128 px, id 2"
    assert tip_at(page, 30, 3) == "road score 0.875, 1,280 px, id 1"
    assert tip_at(page, 2, 30) == "void"
    page.keyboard.press("ArrowRight")
    page.get_by_label("Prediction of b</option>.jpg").wait_for()
    assert tip_at(page, 13, 41) == f"{HOSTILE} 128 px, id 3"
    page.keyboard.press("ArrowRight")
    page.get_by_label("Prediction of c#%.jpg").wait_for()
    assert "id 2, track 7" in tip_at(page, 13, 9)
    assert all(url.startswith(("file:", "data:")) for url in asked)


def test_arrow_keys_and_buttons_go_from_image_to_image(page: Page, street_page: Path) -> None:
    position = page.locator("#position")
    opened(page, street_page, number=3)
    assert position.inner_text() == "3 of 3"
    page.keyboard.press("ArrowRight")  # there is no fourth
    page.keyboard.press("ArrowLeft")
    assert position.inner_text() == "2 of 3"
    assert page.url.endswith("#2")
    page.get_by_label("Opacity").focus()
    page.keyboard.press("ArrowLeft")  # the slider's own
    assert position.inner_text() == "2 of 3"
    assert page.get_by_label("Opacity").input_value() == "49"
    page.get_by_role("button", name="previous image").click()
    assert position.inner_text() == "1 of 3"
    page.get_by_label("image", exact=True).select_option("c#%.jpg")
    page.get_by_label("Ground truth of c#%.jpg").wait_for()
    assert tip_at(page, 13, 9).endswith("Ground truth: car 128 px, id 18")


def test_every_control_has_a_name_and_a_visible_focus(page: Page, street_page: Path) -> None:
    opened(page, street_page, number=3)
    seen = []
    for _ in range(60):
        page.keyboard.press("Tab")
        name, outline = page.evaluate(
            """() => { const e = document.activeElement;
              const text = (e.ariaLabel || e.labels?.[0]?.textContent || e.textContent).trim();
              return [text, getComputedStyle(e).outlineStyle]; }"""
        )
        if page.evaluate("document.activeElement === document.body"):
            break
        seen.append((name, outline))
    assert len(seen) > 15
    assert all(name and outline != "none" for name, outline in seen)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 1280])
def test_phone_and_dark_mode(width: int, scheme: str, page: Page, street_page: Path) -> None:
    page.set_viewport_size({"width": width, "height": 700})
    page.emulate_media(color_scheme=scheme)
    opened(page, street_page, number=3)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    colors = "e => [getComputedStyle(e).color, getComputedStyle(e).backgroundColor]"
    ink, paper = page.locator("body").evaluate(colors)
    assert (ink, paper) == {
        "light": ("rgb(34, 37, 43)", "rgb(251, 251, 249)"),
        "dark": ("rgb(230, 232, 235)", "rgb(21, 23, 26)"),
    }[scheme]
    assert tip_at(page, 13, 9).startswith("Prediction: car")


def test_a_missing_file_and_an_empty_page_are_told(
    page: Page, large_page: Path, tmp_path: Path
) -> None:
    copy = shutil.copy(large_page, tmp_path / "index.html")
    page.goto(Path(copy).as_uri())
    page.get_by_text(
        "a.jpg cannot be shown: images/a.js is not beside this page", exact=True
    ).wait_for()
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.js").write_text("")
    page.reload()
    page.get_by_text("a.jpg cannot be shown: images/a.js holds no image").wait_for()
    page.goto(write(tmp_path / "empty", {}).as_uri())
    assert page.locator("#message").inner_text() == "No image has been predicted yet."
