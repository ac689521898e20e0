"""The page's files, and the description of a model that the page reads."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from panoptic_deeplab.viewer import FOLDER as VIEWER_FOLDER

if TYPE_CHECKING:
    from panoptic_deeplab.structures import DatasetInfo

_OF_VIEWER = ("viewer.js", "viewer.css")
PAGE_FILES = (
    *("index.html", "page.css", "page.js", "image_input.js", "saving.js", "segments.js"),
    *("browser_network.js", "network_worker.js", "server_network.js"),
    *_OF_VIEWER,
)
DESCRIPTION_FILE = "page.json"
SAMPLE_FILE = "sample.png"

RUNTIME_FILES = {
    "ort.wasm.min.mjs": "ort.wasm.min.js",
    "ort-wasm-simd-threaded.mjs": "ort-wasm-simd-threaded.js",
    "ort-wasm-simd-threaded.wasm": "ort-wasm-simd-threaded.wasm",
    "ort.webgpu.min.mjs": "ort.webgpu.min.js",
    "ort-wasm-simd-threaded.asyncify.mjs": "ort-wasm-simd-threaded.asyncify.js",
    "ort-wasm-simd-threaded.asyncify.wasm": "ort-wasm-simd-threaded.asyncify.wasm",
}
"""Of ONNX Runtime Web, what the page loads, on CPUs the first three, on GPUs the others.

By their names beside the page: some web servers do not know that .mjs is JavaScript.
"""

RUNTIME_LICENSES = {
    "LICENSE": "ONNXRUNTIME-LICENSE.txt",
    "ThirdPartyNotices.txt": "ONNXRUNTIME-NOTICES.txt",
}
"""Files of ONNX Runtime -> their names beside the page."""


def page_file(name: str) -> Path:
    """Where one of `PAGE_FILES` lies in this package."""
    return (VIEWER_FOLDER if name in _OF_VIEWER else Path(__file__).parent) / name


def describe(
    info: DatasetInfo,
    settings: Mapping[str, float],
    *,
    in_browser: bool,
    on_server: bool,
    sample: str | None = None,
) -> dict[str, Any]:
    """Describe a model to the page, as the content of `DESCRIPTION_FILE`.

    Args:
        info: the classes.
        settings: of the grouping, those that the page may change, with their values.
        in_browser: whether `model.onnx` lies beside the page.
        on_server: whether the page's server predicts.
        sample: name of a sample image beside the page.
    """
    return {
        "name": info.name,
        "categories": info.to_dict()["categories"],
        "settings": dict(settings),
        "runs_in_browser": in_browser,
        "runs_on_server": on_server,
        "sample": sample,
    }
