"""What the command-line programs share: parsing, and errors as one message, not a traceback."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import re
import sys
import traceback
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import tyro

from glcic_jax.errors import UserError

Arguments = TypeVar("Arguments")


@dataclasses.dataclass(frozen=True)
class JobOptions:
    """Several processes that work as one, each started with the same command but for its index.

    The hosts of a TPU pod find each other and need none of these.
    """

    coordinator: str | None = None
    """HOST:PORT at which all processes reach process 0."""
    process_count: int | None = None
    """Number of processes, usually one for each machine."""
    process_index: int | None = None
    """Which of them this is, from 0."""
    start_timeout: float = 300.0
    """Seconds to wait for the others at the start."""


ALONE = JobOptions()
"""One process, except on a TPU pod."""


def parse(kind: type[Arguments], **options: Any) -> Arguments:
    """`tyro.cli` whose complaints are one line or two.

    Args:
        kind: the dataclass of arguments.
        options: passed on to `tyro.cli`.

    Raises:
        UserError: the command line does not fit `kind`.
    """
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            return tyro.cli(kind, **options)
    except SystemExit as stop:
        if not stop.code:
            raise  # --help
        raise UserError(_condense(complaint.getvalue())) from None


def run(main: Callable[[], None]) -> None:
    """Call `main`; print a `UserError` as `error: ...` to stderr and exit with status 1."""
    try:
        main()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        _exit(1, str(error))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        _exit(130, "interrupted")
    except Exception as error:
        if not _in_job():
            raise
        traceback.print_exc()
        _exit(1, f"{type(error).__name__}: {error}")


@contextlib.contextmanager
def job(options: JobOptions, arguments: Any, *, sync_stops: bool) -> Iterator[None]:
    """Inside, this process is one of the job that `options` describe.

    Args:
        options: the place of this process.
        arguments: the whole command line as a dataclass; all else must be the same in all of them.
        sync_stops: as for `jobs.job`.

    Raises:
        UserError: as `jobs.job`.
    """
    from glcic_jax.runtime import jobs

    place = jobs.find_place(options.coordinator, options.process_count, options.process_index)
    settings = dict(_flatten(dataclasses.asdict(arguments)))
    settings = {name: value for name, value in settings.items() if not name.startswith("job.")}
    with jobs.job(place, settings, timeout=options.start_timeout, sync_stops=sync_stops):
        yield


def _flatten(table: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in table.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}".replace("_", "-").removeprefix("config."), str(value)


def _in_job() -> bool:
    jobs = sys.modules.get("glcic_jax.runtime.jobs")
    return jobs is not None and jobs.is_running()


def _exit(status: int, reason: str) -> None:
    """End the program; if it is one process of a job, the others too."""
    if _in_job():
        sys.modules["glcic_jax.runtime.jobs"].leave(status, reason.splitlines()[0][:300])
    sys.exit(status)


def _condense(box: str) -> str:
    """The text inside tyro's framed complaint: its first paragraph, and the option it suggests."""
    lines = [line.strip(" │╭╮╰╯\t") for line in box.splitlines()]
    paragraphs: list[str] = []
    current: list[str] = []
    for line in lines:
        if "───" in line or not line:
            paragraphs.append(" ".join(current))
            current = []
        else:
            current.append(line)
    paragraphs = [text for text in (*paragraphs, " ".join(current)) if text]
    message = paragraphs[0] if paragraphs else "the command line is not understood"
    suggested = re.findall(r"--[\w.-]+", " ".join(paragraphs[1:-1]))
    hint = f"did you mean {suggested[0]}? " if suggested else ""
    return f"{message}\n{hint}--help describes every option"
