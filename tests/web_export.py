"""What tests of the page need: the runtime of npm, an export for the web, a server for it."""

from __future__ import annotations

import functools
import http.server
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from drawn_checkpoint import SAMPLE, write_checkpoint

from panoptic_deeplab.cli import export
from panoptic_deeplab.errors import DataError
from panoptic_deeplab.export.ort_web import find_package


def npm_package() -> Path:
    """ONNX Runtime Web; without it in the cache and on the web tests are skipped, but in CI."""
    for _ in range(_ATTEMPTS):
        try:
            return find_package()
        except DataError as error:
            reason = str(error)
    return (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)


_ATTEMPTS = 3
"""A download that breaks off goes on where it was."""


def write_web_export(folder: Path) -> Path:
    """Export a drawn checkpoint as a page; return its folder."""
    checkpoint, target = folder / "checkpoint", folder / "web"
    checkpoint.mkdir()
    write_checkpoint(checkpoint)
    words = ["--model_path", str(checkpoint), "--save_dir", str(target), "--format", "web"]
    words += ["--image", str(checkpoint / SAMPLE), "--ort_web", str(npm_package())]
    assert export.main([*words, "--device", "cpu", "--repeats", "1"]) == 0
    return target


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def static_server(folder: Path) -> Iterator[str]:
    """The address of a server for a folder, as `python -m http.server` is one."""
    handler = functools.partial(_Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()
