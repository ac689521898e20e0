"""The command serves a page that works in a real browser, and stops cleanly."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from drawn_checkpoint import SAMPLE

from panoptic_deeplab.formats.images import read_ids
from panoptic_deeplab.inference.model import load_model

if TYPE_CHECKING:
    from playwright.sync_api import Page

for package in ("onnx", "onnxruntime", "paddle2onnx", "playwright", "starlette", "uvicorn"):
    pytest.importorskip(package)

pytestmark = pytest.mark.timeout(300)  # the export comes with the first test

from web_export import write_web_export  # noqa: E402

from panoptic_deeplab.cli import serve as serve_tool  # noqa: E402

DOCS = Path(__file__).parents[2] / "docs" / "web.md"


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_web_export(tmp_path_factory.mktemp("web"))


@pytest.fixture(scope="module")
def server(web: Path) -> Iterator[tuple[subprocess.Popen, str]]:
    """The running command and its address."""
    words = [sys.executable, "-m", "panoptic_deeplab", "serve", "--model_path", str(web)]
    with subprocess.Popen([*words, "--port", "0"], stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process, process.stdout.readline().split()[0]
        finally:
            process.kill()


def test_the_page_shows_the_ids_of_python_whoever_computes_them(
    page: Page, server: tuple[subprocess.Popen, str], web: Path, tmp_path: Path
) -> None:
    from playwright.sync_api import expect

    _, address = server
    page.goto(address)
    expected = load_model(web)(web.parent / "checkpoint" / SAMPLE).ids
    for device in ("this browser, CPU", "the server"):
        page.select_option("#device", device)
        page.click("#sample")
        told = "server" if device == "the server" else r"CPU, \d+ threads?"
        done = re.compile(rf"sample.png: 130 × 75 pixels, \d+ segments, \d+\.\d\d s \({told}\)")
        expect(page.locator("#status")).to_have_text(done, timeout=60_000)
        with page.expect_download() as download:
            page.click("#save")
        download.value.save_as(tmp_path / "ids.png")
        assert (read_ids(tmp_path / "ids.png") != expected).mean() <= 1e-4


def test_the_example_of_the_docs_runs(
    server: tuple[subprocess.Popen, str],
    web: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copyfile(web / "sample.png", "street.jpg")
    (code,) = re.findall(r"```python\n(.*?)```", DOCS.read_text("utf-8"), re.DOTALL)
    assert "http://127.0.0.1:8080/" in code
    found: dict[str, dict[str, list]] = {}
    exec(code.replace("http://127.0.0.1:8080/", server[1]), found)
    assert found["outputs"]["panoptic"] == load_model(web)("street.jpg").ids.ravel().tolist()


def test_a_port_in_use_is_one_line(
    server: tuple[subprocess.Popen, str], web: Path, capsys: pytest.CaptureFixture
) -> None:
    port = server[1].rstrip("/").rpartition(":")[2]
    assert serve_tool.main(["--model_path", str(web), "--port", port]) == 2
    assert capsys.readouterr().err == (
        f"error: --port {port} is taken; choose another, or 0 for any\n"
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_stops_at_once(web: Path, number: signal.Signals) -> None:
    words = [sys.executable, "-m", "panoptic_deeplab", "serve", "--model_path", str(web)]
    with subprocess.Popen(
        [*words, "--port", "0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        process.stdout.readline()
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (0, "stopped\n", "")
