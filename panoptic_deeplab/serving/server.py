"""Serves a model on this machine until it is stopped."""

from __future__ import annotations

import errno
import socket
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette

from panoptic_deeplab.errors import UsageError
from panoptic_deeplab.serving.application import application
from panoptic_deeplab.web_page.files import (
    PAGE_FILES,
    RUNTIME_FILES,
    RUNTIME_LICENSES,
    SAMPLE_FILE,
    describe,
    page_file,
)

ADDRESS = "127.0.0.1"
MAX_CONNECTIONS = 32
_IN_BROWSER = (
    *("model.onnx", SAMPLE_FILE),
    *RUNTIME_FILES.values(),
    *RUNTIME_LICENSES.values(),
)
"""What lies in an export for the web beside the page's own files."""
_STOP_SECONDS = 5
"""How long responses that are under way may take when the server is stopped."""


def serve(predictor: Any, folder: Path, port: int) -> None:
    """Serve a model's page and its predictions until Ctrl-C or SIGTERM.

    Args:
        predictor: what predicts, with `info`, `settings` and `predict`.
        folder: of the model; if it is an export for the web, the page computes in the browser.
        port: 0 for any that is free.

    Raises:
        UsageError: the port is taken or may not be opened.
    """
    files, description = page_of(predictor, folder)
    with listening(port) as listener:
        server = LocalServer(application(predictor, files, description))
        with suppress(KeyboardInterrupt):  # the signal that stopped it, once more
            server.run(sockets=[listener])
        print("stopped")


class LocalServer(uvicorn.Server):
    """A server that tells its address once it answers, and nothing else."""

    def __init__(self, app: Starlette) -> None:
        config = uvicorn.Config(
            app,
            log_level="critical",
            access_log=False,
            limit_concurrency=MAX_CONNECTIONS,
            timeout_graceful_shutdown=_STOP_SECONDS,
            server_header=False,
        )
        super().__init__(config)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listener in sockets or ():
            print(f"http://{ADDRESS}:{listener.getsockname()[1]}/  (Ctrl-C stops)", flush=True)


def page_of(predictor: Any, folder: Path) -> tuple[dict[str, Path], Mapping[str, Any]]:
    """The page's files by name, and the description that it reads."""
    files = {name: page_file(name) for name in PAGE_FILES}
    beside = {name: folder / name for name in _IN_BROWSER}
    in_browser = all(path.is_file() for path in beside.values())
    if in_browser:
        files |= beside
    page = describe(
        predictor.info,
        predictor.settings,
        in_browser=in_browser,
        on_server=True,
        sample=SAMPLE_FILE if in_browser else None,
    )
    return files, page


def listening(port: int) -> socket.socket:
    """A socket that listens on this machine alone.

    Raises:
        UsageError: the port is taken or may not be opened.
    """
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((ADDRESS, port))
        listener.listen()
    except OSError as error:
        listener.close()
        reason = "is taken" if error.errno == errno.EADDRINUSE else f"cannot be opened ({error})"
        raise UsageError(f"--port {port} {reason}; choose another, or 0 for any") from error
    return listener
