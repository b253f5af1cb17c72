"""The server behind the page: a few addresses, no state, photographs in memory only."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator
from importlib import resources

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from glcic_jax.inpainting.repair import Fill
from glcic_jax.web.requests import Refused, fill, read_body

_FILES = {
    "/": ("index.html", "text/html"),
    "/terms": ("terms.html", "text/html"),
    "/page.js": ("page.js", "text/javascript"),
    "/painting.js": ("painting.js", "text/javascript"),
    "/page.css": ("page.css", "text/css"),
}
_HEADERS = {
    # The browser itself refuses whatever is not from here.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src 'self' blob: data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
ASKED_BY_PAGE = "x-glcic-jax"
"""A header that the page sends. A page from elsewhere can't: the browser would ask us first."""


class _Queue:
    """So many fills at once; the others wait, up to a number."""

    def __init__(self, at_once: int, waiting: int):
        self._places = asyncio.Semaphore(at_once)
        self._left = at_once + waiting

    @contextlib.asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        if self._left <= 0:
            raise Refused(503, "Too many photographs are waiting; try again in a minute.")
        self._left -= 1
        try:
            async with self._places:
                yield
        finally:
            self._left += 1


def make_app(
    filler: Fill,
    *,
    max_megapixels: float,
    hosts: list[str],
    at_once: int = 1,
    waiting: int = 16,
) -> Starlette:
    """The application.

    Args:
        filler: completes an image, see `repair.open_fill`; called in a thread.
        max_megapixels: of the largest photograph.
        hosts: names under which it may be asked for, against pages that point a name of their own
            at this machine; "*": any.
        at_once: fills at the same time.
        waiting: requests that may wait beside them.
    """
    queue = _Queue(at_once, waiting)

    async def answer_fill(request: Request) -> Response:
        if ASKED_BY_PAGE not in request.headers:
            return _message(403, "Only the page of this server may ask for this.")
        try:
            async with queue.place():
                body = await read_body(request.stream(), max_megapixels)
                png, repaired = await asyncio.to_thread(fill, body, max_megapixels, filler)
        except Refused as error:
            return _message(error.status, str(error))
        except ClientDisconnect:
            return _message(400, "The connection ended before the photograph was here.")
        notes = {"X-Pixels": str(int(repaired.hole.sum()))}
        return Response(png, media_type="image/png", headers=_HEADERS | notes)

    async def answer_limits(request: Request) -> Response:
        del request
        return JSONResponse({"max_megapixels": max_megapixels}, headers=_HEADERS)

    routes = [
        Route(path, functools.partial(_answer_file, name, kind))
        for path, (name, kind) in _FILES.items()
    ]
    routes.append(Route("/limits", answer_limits))
    routes.append(Route("/fill", answer_fill, methods=["POST"]))
    return Starlette(
        routes=routes,
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=hosts)],
        exception_handlers={404: _not_found, 500: _failed},
    )


async def _answer_file(name: str, kind: str, request: Request) -> Response:
    del request
    text = (resources.files("glcic_jax.web") / "static" / name).read_text("utf-8")
    return Response(text, media_type=kind, headers=_HEADERS)


async def _not_found(request: Request, error: Exception) -> Response:
    del request, error
    return _message(404, "There is nothing at this address.")


async def _failed(request: Request, error: Exception) -> Response:
    del request, error
    return _message(500, "Something went wrong here; the server goes on.")


def _message(status: int, text: str) -> Response:
    return JSONResponse({"message": text}, status_code=status, headers=_HEADERS)
