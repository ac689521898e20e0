"""The application: the page's files and the inference protocol, for clients of this machine.

Nothing of a request names a file: what is served is listed when the application is made. Requests
that another site's page sends are refused, by the names of host and origin in their headers.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import panoptic_deeplab
from panoptic_deeplab.deployment import MODEL_NAME
from panoptic_deeplab.errors import UserError
from panoptic_deeplab.inference.memory import error_for_lack_of_memory
from panoptic_deeplab.serving.protocol import (
    LENGTH_HEADER,
    MAX_BYTES,
    TooLargeError,
    metadata,
    read_request,
    write_response,
)
from panoptic_deeplab.serving.turns import BusyError, Turns

HOSTS = ("127.0.0.1", "localhost")
MAX_WAITING = 8
"""Predictions that wait for their turn; more are answered with 503."""
BODY_SECONDS = 60
"""Longest time that a request's body may take."""
PREDICTION_SECONDS = 300
"""Longest time for a prediction, waiting included."""

_HEADERS = {
    # what browsers want for threads in WebAssembly
    b"cross-origin-opener-policy": b"same-origin",
    b"cross-origin-embedder-policy": b"require-corp",
    b"cross-origin-resource-policy": b"same-origin",
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
    b"cache-control": b"no-cache",
}
_log = logging.getLogger(__name__)


def application(
    predictor: Any, files: Mapping[str, Path], description: Mapping[str, Any]
) -> Starlette:
    """Make the application.

    Args:
        predictor: what predicts, with `info`, `settings` and `predict`.
        files: name in addresses -> file, the page's `index.html` among them.
        description: of the model, for the page.
    """
    turns = Turns(MAX_WAITING)
    model = f"/v2/models/{MODEL_NAME}"

    async def infer(request: Request) -> Response:
        return await _infer(request, predictor, turns)

    routes = [
        *_file_routes(files, description),
        *(_constant(path, {"live": True}) for path in ("/v2/health/live",)),
        *(_constant(path, {"ready": True}) for path in ("/v2/health/ready", f"{model}/ready")),
        _constant("/v2", _server_metadata()),
        _constant(model, metadata(predictor.info, predictor.settings)),
        Route(f"{model}/infer", infer, methods=["POST"]),
    ]

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        turns.close()

    return Starlette(
        routes=routes,
        middleware=[
            Middleware(WithHeaders),
            Middleware(TrustedHostMiddleware, allowed_hosts=HOSTS, www_redirect=False),
            Middleware(SameOrigin),
        ],
        exception_handlers={HTTPException: _tell, UserError: _refuse, Exception: _fail},
        lifespan=lifespan,
    )


def _server_metadata() -> dict[str, Any]:
    return {
        "name": "panoptic-deeplab",
        "version": panoptic_deeplab.__version__,
        "extensions": ["binary_tensor_data"],
    }


def _file_routes(files: Mapping[str, Path], description: Mapping[str, Any]) -> list[BaseRoute]:
    routes = [_file(f"/{name}", path) for name, path in files.items()]
    return [_file("/", files["index.html"]), _constant("/page.json", description), *routes]


def _file(address: str, path: Path) -> Route:
    async def send(_: Request) -> Response:
        return FileResponse(path)

    return Route(address, send)


def _constant(address: str, content: Mapping[str, Any]) -> Route:
    async def send(_: Request) -> Response:
        return JSONResponse(content)

    return Route(address, send)


async def _infer(request: Request, predictor: Any, turns: Turns) -> Response:
    try:
        turns.check_free()
        body = await _read_body(request)
        work = partial(_answer, predictor, body, request.headers.get(LENGTH_HEADER))
        answer, length = await turns.run(work, PREDICTION_SECONDS)
    except BusyError as error:
        raise HTTPException(503, "too many requests wait already; try again later") from error
    except TimeoutError as error:
        raise HTTPException(504, f"not done after {PREDICTION_SECONDS} seconds") from error
    if length is None:
        return Response(answer, media_type="application/json")
    return Response(
        answer, headers={LENGTH_HEADER: str(length)}, media_type="application/octet-stream"
    )


def _answer(predictor: Any, body: bytes, length: str | None) -> tuple[bytes, int | None]:
    with error_for_lack_of_memory("the image"):
        request = read_request(body, length, predictor.settings)
        chosen = predictor.with_settings(request.settings) if request.settings else predictor
        (prediction,) = chosen.predict([request.image])
        return write_response(prediction, request)


async def _read_body(request: Request) -> bytes:
    """The body of a request, of bounded size and time."""
    try:
        return await asyncio.wait_for(_bounded_body(request), BODY_SECONDS)
    except asyncio.TimeoutError as error:
        # Nothing else ends the connection, of which there may be so many.
        text, ending = f"the body did not come in {BODY_SECONDS} seconds", {"Connection": "close"}
        raise HTTPException(408, text, ending) from error
    except ClientDisconnect as error:
        raise HTTPException(400, "the body broke off") from error


async def _bounded_body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BYTES:
            raise HTTPException(413, f"more than the {MAX_BYTES} bytes that are taken")
    return bytes(body)


def _tell(_: Request, error: HTTPException) -> Response:
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)


def _refuse(_: Request, error: UserError) -> Response:
    """An image that cannot be used, or a request that is none."""
    return JSONResponse({"error": str(error)}, 413 if isinstance(error, TooLargeError) else 400)


def _fail(_: Request, error: Exception) -> Response:
    _log.error("a prediction failed: %s", error)
    return JSONResponse({"error": "the prediction failed; the server's log says why"}, 500)


class WithHeaders:
    """Adds the headers that every response has."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *_HEADERS.items()]
            await send(message)

        await self.app(scope, receive, send_with_headers)


class SameOrigin:
    """Refuses what a page of another site asks for, which its browser marks with that origin."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not _is_own(Request(scope)):
            response = JSONResponse({"error": "pages of other sites are not served"}, 403)
            await response(scope, receive, send)
        else:
            await self.app(scope, receive, send)


def _is_own(request: Request) -> bool:
    origin = request.headers.get("origin")
    return origin is None or origin.partition("://")[2] == request.headers.get("host")
