"""A server of the page on a free port, in a thread, with the generator that it comes with."""

from __future__ import annotations

import http.client
import socket
import threading
import time

import pytest
import uvicorn

from glcic_jax.inpainting.repair import open_fill
from glcic_jax.web.server import make_app


class Server:
    """A running server; `filler` is called with every photograph and may be replaced."""

    def __init__(self, **options):
        self.fill = open_fill("photographs")
        self.filler = self.fill
        app = make_app(
            lambda image, hole: self.filler(image, hole),
            hosts=["127.0.0.1", "localhost"],
            **options,
        )
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port = self.listening.getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}/"
        self._server = uvicorn.Server(uvicorn.Config(app, log_level="critical"))
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self.listening]}, daemon=True
        )

    def __enter__(self):
        self._thread.start()
        until = time.monotonic() + 20
        while not self._server.started and time.monotonic() < until:
            time.sleep(0.02)
        return self

    def __exit__(self, *error):
        self._server.should_exit = True
        self._thread.join(20)

    def ask(self, method: str, path: str, body: bytes = b"", **headers: str):
        """Status, body and headers of one request."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, named)
            answer = connection.getresponse()
            return answer.status, answer.read(), answer.headers
        finally:
            connection.close()


@pytest.fixture(scope="module")
def server():
    with Server(max_megapixels=24.0, waiting=1) as running:
        yield running
