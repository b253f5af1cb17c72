"""`glcic-jax serve`: a page in the browser on which photographs are repaired."""

from __future__ import annotations

import dataclasses
import socket
import threading
from typing import Annotated, Any, Literal

from glcic_jax.commands.command_line import parse
from glcic_jax.config.fields import Range, check_fields
from glcic_jax.errors import UserError

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclasses.dataclass(frozen=True)
class Arguments:
    """A page in the browser: drop a photograph, paint the hole, fill, download.

    Photographs stay in this machine's memory and are never written; nothing is fetched from
    elsewhere. Needs the extra web (pip install '.[web]').
    """

    host: str = "127.0.0.1"
    """Address to listen on. Others than 127.0.0.1 let anyone on the network use the page."""
    port: Annotated[int, Range(0, 65535)] = 8765
    """Port to listen on; 0: a free one."""
    generator: str = "photographs"
    """What fills: a name that comes with the package, a file that glcic-jax export wrote, or the
    directory of a run."""
    checkpoint: Literal["best", "latest"] = "best"
    """Which checkpoint of a run's directory."""
    max_megapixels: Annotated[float, Range(0.001, 1000)] = 40.0
    """Largest photograph."""
    at_once: Annotated[int, Range(1, 64)] = 1
    """Photographs that are filled at the same time; others wait."""


def main() -> None:
    """Read the command line, load the generator, answer until Ctrl-C."""
    arguments = parse(Arguments, description=Arguments.__doc__)
    check_fields(arguments)
    try:
        import uvicorn

        from glcic_jax.web.server import make_app
    except ImportError as error:
        raise UserError(
            f"the page needs {error.name}; install what it needs with: pip install starlette "
            "uvicorn"
        ) from error
    from glcic_jax.inpainting.repair import open_fill
    from glcic_jax.runtime.memory import give_back_large_blocks

    give_back_large_blocks()
    listening = _listen(arguments.host, arguments.port)
    filler = open_fill(arguments.generator, arguments.checkpoint)
    local = arguments.host in _LOOPBACK
    app = make_app(
        filler,
        max_megapixels=arguments.max_megapixels,
        hosts=[*_LOOPBACK, "[::1]"] if local else ["*"],
        at_once=arguments.at_once,
    )
    if not local:
        print(
            f"warning: --host {arguments.host} lets anyone who reaches this machine use the page; "
            "there is no password and no encryption",
            flush=True,
        )
    shown = "127.0.0.1" if arguments.host == "0.0.0.0" else arguments.host
    port = listening.getsockname()[1]
    print(f"repair photographs at http://{shown}:{port} (Ctrl-C ends)", flush=True)
    threading.Thread(target=_warm_up, args=(filler,), daemon=True).start()
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False))
    server.run(sockets=[listening])


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise UserError(
            f"can't listen on {host}:{port}: {error.strerror or error}; give another --port or "
            "--host"
        ) from error


def _warm_up(filler: Any) -> None:
    """Compile what most fills need, while the photograph is being chosen."""
    import numpy as np

    image = np.random.default_rng(0).integers(0, 256, (512, 512, 3), np.uint8)
    for side in (4, 24, 96):
        hole = np.zeros(image.shape[:2], bool)
        hole[200 : 200 + side, 200 : 200 + side] = True
        filler(image, hole)
