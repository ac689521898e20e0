"""The viewer of all pages, in a browser: what it shows at a pixel, its settings and its table."""

from __future__ import annotations

import mimetypes
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pytest

from panoptic_deeplab.structures import Category, DatasetInfo
from panoptic_deeplab.viewer import FOLDER
from panoptic_deeplab.visualization.palette import instance_color

if TYPE_CHECKING:
    from playwright.sync_api import Page, Request, Route

HOSTILE = "<img src=x onerror=boom()>"
INFO = DatasetInfo(
    "streets",
    (
        Category("road", False, (128, 64, 128), 7),
        Category("car", True, (0, 0, 142), 26),
        Category(HOSTILE, True, (220, 20, 60), 24),
    ),
)
IDS = """
0 0 1 1 1 1 1 1
2 2 2 1 1 4 4 1
2 2 2 1 1 4 4 1
3 3 3 3 1 1 1 1
"""
SEGMENTS = [
    {"id": 1, "category": 0, "score": 0.99, "area": 15},
    {"id": 2, "category": 1, "score": 0.8, "area": 6},
    {"id": 3, "category": 1, "score": 0.4, "area": 4},
    {"id": 4, "category": 2, "score": None, "area": 4},
]
SCENE = {"width": 8, "height": 4, "ids": list(map(int, IDS.split())), "segments": SEGMENTS}
POLICY = "default-src 'none'; script-src 'self'; style-src 'self'"
PAGE = (
    "<!doctype html><meta name=viewport content='width=device-width'><title>t</title>"
    "<link rel=stylesheet href=viewer.css><body><main></main></body>"
)


@pytest.fixture
def viewer(page: Page) -> Page:
    """A page with a viewer, under a policy that takes nothing from elsewhere or from markup."""
    page.route("http://viewer.test/*", _serve)
    page.goto("http://viewer.test/")
    page.evaluate(
        """async (categories) => {
          const { Viewer } = await import("./viewer.js");
          window.viewer = new Viewer(document.querySelector("main"), categories);
        }""",
        INFO.to_dict()["categories"],
    )
    show(page, SCENE)
    return page


def _serve(route: Route, request: Request) -> None:
    name = request.url.rpartition("/")[2]
    content = (FOLDER / name).read_text() if name else PAGE
    kind = mimetypes.guess_type(name or "index.html")[0]
    route.fulfill(body=content, content_type=kind, headers={"Content-Security-Policy": POLICY})


def show(page: Page, scene: Mapping[str, Any]) -> None:
    """Show a scene over a white image."""
    page.evaluate(
        """(scene) => {
          const image = Object.assign(document.createElement("canvas"), { width: 8, height: 4 });
          const context = image.getContext("2d");
          context.fillStyle = "white";
          context.fillRect(0, 0, 8, 4);
          window.viewer.show({ ...scene, image });
        }""",
        scene,
    )


def point_at(page: Page, x: int, y: int, pane: int = 0) -> str:
    """Move the pointer over a pixel and return what the tip says."""
    layers = page.locator(".viewer-layers").nth(pane)
    layers.scroll_into_view_if_needed()
    box = layers.bounding_box()
    assert box is not None
    page.mouse.move(
        box["x"] + (x + 0.5) * box["width"] / 8, box["y"] + (y + 0.5) * box["height"] / 4
    )
    return page.locator(".viewer-tip").inner_text()


def color_at(page: Page, x: int, y: int, layer: int = 1) -> list[int]:
    """Return (r, g, b, alpha) of a layer: image, fill, lines and mark."""
    return page.evaluate(
        """([x, y, layer]) => [...document.querySelectorAll(".viewer-layers canvas")[layer]
          .getContext("2d").getImageData(x, y, 1, 1).data]""",
        [x, y, layer],
    )


def rows(page: Page) -> list[str]:
    """Return the table's rows as texts."""
    return [" ".join(row.split()) for row in page.locator("tbody tr").all_inner_texts()]


def test_the_tip_tells_what_is_under_the_pointer(viewer: Page) -> None:
    assert point_at(viewer, 1, 1) == "car score 0.800, 6 px, id 2"
    assert point_at(viewer, 7, 3) == "road score 0.990, 15 px, id 1"
    assert point_at(viewer, 5, 2) == f"{HOSTILE} 4 px, id 4"  # a name is a text; no score
    assert point_at(viewer, 0, 0) == "void"
    viewer.mouse.move(1, viewer.viewport_size["height"] - 1)
    assert viewer.locator(".viewer-tip").is_hidden()


def test_the_tip_follows_the_images_of_a_camera(viewer: Page) -> None:
    point_at(viewer, 1, 1)
    show(viewer, {**SCENE, "ids": [4] * 32})
    tip = viewer.locator(".viewer-tip")
    assert tip.inner_text() == f"{HOSTILE} 4 px, id 4"
    viewer.mouse.move(1, viewer.viewport_size["height"] - 1)
    show(viewer, SCENE)
    assert tip.is_hidden()


def test_a_finger_on_a_segment_and_beside_the_image(viewer: Page) -> None:
    tip, layers = viewer.locator(".viewer-tip"), viewer.locator(".viewer-layers").first
    box = layers.bounding_box()
    at = {"pointerType": "touch", "clientX": box["x"] + 2, "clientY": box["y"] + box["height"] - 2}
    for event in ("pointerdown", "pointerup", "pointerleave"):
        layers.dispatch_event(event, {**at, "bubbles": True})
    assert tip.inner_text() == "car score 0.400, 4 px, id 3"
    viewer.get_by_label("Filter").dispatch_event("pointerdown", {"bubbles": True})
    assert tip.is_hidden()


def test_segments_have_the_colors_of_the_overlays(viewer: Page) -> None:
    places = {(7, 0): INFO.categories[0].color, (0, 1): instance_color(1, 0, INFO)}
    places |= {(0, 3): instance_color(1, 1, INFO), (5, 1): instance_color(2, 0, INFO)}
    for place, color in places.items():
        assert color_at(viewer, *place) == [*color, 255]
    assert color_at(viewer, 0, 0) == [0, 0, 0, 0]
    show(viewer, {**SCENE, "segments": [{**s, "track_id": 40 + s["id"]} for s in SEGMENTS]})
    for place, track in {(0, 1): 42, (0, 3): 43}.items():
        assert color_at(viewer, *place) == [*instance_color(1, track - 1, INFO), 255]
    assert point_at(viewer, 0, 3) == "car score 0.400, 4 px, id 3, track 43"
    assert rows(viewer)[1] == "car 2 42 0.800 6"


def test_every_shade_of_a_class_is_that_of_the_overlays(viewer: Page) -> None:
    numbers = [1, 2, 3, 17, 100, 5000, 70000]
    segments = [
        {"id": i + 1, "category": 1, "score": None, "area": 1, "track_id": number + 1}
        for i, number in enumerate(numbers)
    ]
    ids = [i + 1 for i in range(len(numbers))] + [0] * (32 - len(numbers))
    show(viewer, {**SCENE, "ids": ids, "segments": segments})
    for x, number in enumerate(numbers):
        assert color_at(viewer, x, 0) == [*instance_color(1, number, INFO), 255]


def test_the_table_sorts_and_filters_with_the_image(viewer: Page) -> None:
    assert rows(viewer) == [
        "road 1 0.990 15",
        "car 2 0.800 6",
        "car 3 0.400 4",
        f"{HOSTILE} 4 4",
    ]
    viewer.get_by_role("button", name="score").click()
    viewer.get_by_role("button", name="score").click()
    assert [row.split()[-1] for row in rows(viewer)] == ["4", "6", "15", "4"]  # no score comes last
    search = viewer.get_by_label("Filter")
    for text, count in {"CAR": 2, "thing": 3, "stuff": 1, "#3": 1, "#": 4, "nothing": 0}.items():
        search.fill(text)
        assert len(rows(viewer)) == count
        assert viewer.locator(".viewer-count").inner_text() == f"{count} of 4 segments"
    assert color_at(viewer, 7, 0) == [0, 0, 0, 0]
    search.fill("")
    viewer.get_by_label("Minimum score").fill("0.5")
    assert rows(viewer) == ["car 2 0.800 6", "road 1 0.990 15", f"{HOSTILE} 4 4"]
    assert color_at(viewer, 0, 3) == [0, 0, 0, 0]


def test_classes_go_off_and_stay_off_in_the_next_image(viewer: Page) -> None:
    viewer.get_by_role("checkbox", name="car").uncheck()
    assert color_at(viewer, 0, 1) == color_at(viewer, 0, 1, layer=2) == [0, 0, 0, 0]
    show(viewer, SCENE)
    assert not viewer.get_by_role("checkbox", name="car").is_checked()
    assert len(rows(viewer)) == 2
    viewer.get_by_role("button", name="None").click()
    assert rows(viewer) == []
    viewer.get_by_role("button", name="All").click()
    assert len(rows(viewer)) == 4


def test_outlines_opacity_and_zoom(viewer: Page) -> None:
    assert color_at(viewer, 2, 1, layer=2) == [255, 255, 255, 255]
    assert color_at(viewer, 3, 1, layer=2) == [0, 0, 0, 0]  # the road beside it has none
    viewer.get_by_label("Outlines").uncheck()
    assert color_at(viewer, 2, 1, layer=2) == [0, 0, 0, 0]
    viewer.get_by_label("Opacity").fill("20")
    fill = viewer.locator(".viewer-layers canvas").nth(1)
    assert fill.evaluate("canvas => canvas.style.opacity") == "0.2"
    viewer.get_by_label("Zoom").select_option("400 %")
    assert viewer.locator(".viewer-layers").first.bounding_box()["width"] == 32


def test_the_keyboard_reaches_the_segments(viewer: Page) -> None:
    button = viewer.locator("tbody button").nth(1)
    button.focus()
    assert color_at(viewer, 1, 1, layer=3)[3] > 0  # the car is marked, nothing else
    assert color_at(viewer, 1, 3, layer=3) == [0, 0, 0, 0]
    viewer.keyboard.press("Enter")
    assert button.get_attribute("aria-pressed") == "true"
    assert button.evaluate("button => getComputedStyle(button).outlineStyle") == "solid"
    show(viewer, SCENE)  # the next image of a camera
    assert viewer.evaluate("document.activeElement.value") == "2"
    viewer.keyboard.press("Tab")
    assert color_at(viewer, 1, 3, layer=3)[3] > 0
    assert viewer.locator(".viewer-layers").first.get_attribute("aria-label") == (
        f"Prediction: 1 road, 2 car, 1 {HOSTILE}"
    )


def test_the_ground_truth_stands_beside_it(viewer: Page) -> None:
    assert viewer.locator("label", has_text="Ground truth").is_hidden()
    truth = {
        "ids": [70000 if value in (2, 3) else 0 for value in SCENE["ids"]],
        "segments": [{"id": 70000, "category": 1, "area": 10, "iscrowd": 1}],
    }
    show(viewer, {**SCENE, "groundTruth": truth})
    told = "Prediction: car score 0.400, 4 px, id 3\nGround truth: car 10 px, id 70000, group"
    assert point_at(viewer, 1, 3) == told
    assert point_at(viewer, 1, 3, pane=1) == told
    assert point_at(viewer, 7, 3, pane=1).endswith("Ground truth: void")
    viewer.get_by_role("checkbox", name="Ground truth").uncheck()
    assert point_at(viewer, 1, 3) == "car score 0.400, 4 px, id 3"


def test_a_click_scrolls_the_table_and_not_the_page(viewer: Page) -> None:
    viewer.set_viewport_size({"width": 400, "height": 300})
    ids = list(range(1, 33))
    segments = [{"id": i, "category": 1, "score": i / 40, "area": 1} for i in ids]
    show(viewer, {"width": 8, "height": 4, "ids": ids, "segments": segments})
    pane = viewer.locator(".viewer-layers").first
    pane.scroll_into_view_if_needed()
    before = viewer.evaluate("scrollY")
    box = pane.bounding_box()
    pane.click(position={"x": box["width"] - 3, "y": box["height"] - 3})
    assert viewer.locator("[aria-pressed=true]").get_attribute("value") == "32"  # the last row
    assert viewer.evaluate("scrollY") == before
    scrolled = viewer.locator(".viewer-table .viewer-scroll").evaluate("(table) => table.scrollTop")
    assert scrolled > 0


@pytest.mark.parametrize("width", [320, 390])
def test_a_phone_shows_it_without_scrolling_sideways(width: int, viewer: Page) -> None:
    viewer.set_viewport_size({"width": width, "height": 700})
    show(viewer, {**SCENE, "groundTruth": {"ids": SCENE["ids"], "segments": SEGMENTS}})
    assert viewer.evaluate("document.documentElement.scrollWidth") <= width
    assert point_at(viewer, 1, 3, pane=1).startswith("Prediction: car")


def test_dark_mode(viewer: Page) -> None:
    ink = "getComputedStyle(document.querySelector('.viewer')).color"
    viewer.emulate_media(color_scheme="light")
    light = viewer.evaluate(ink)
    viewer.emulate_media(color_scheme="dark")
    assert light == "rgb(34, 37, 43)"
    assert viewer.evaluate(ink) == "rgb(230, 232, 235)"
