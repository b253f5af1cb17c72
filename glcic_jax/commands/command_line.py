"""What the commands share: parsing, errors as one message, several processes as one job."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import tyro

from glcic_jax.commands.tyro_errors import plainly
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

    Returns:
        The arguments; a `~` at the start of a path is the home directory, which a shell only says
        itself where nothing stands before it.

    Raises:
        UserError: the command line does not fit `kind`.
    """
    return _at_home(plainly(lambda: tyro.cli(kind, **options)))


def _at_home(value: Any) -> Any:
    """A value, or all inside it, with `expanduser` of each path."""
    if isinstance(value, Path):
        with contextlib.suppress(RuntimeError):  # nobody knows that user's home
            return value.expanduser()
    if isinstance(value, tuple) and type(value) is tuple:
        return tuple(map(_at_home, value))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {one.name: getattr(value, one.name) for one in dataclasses.fields(value)}
        changed = {name: _at_home(inside) for name, inside in fields.items()}
        if any(changed[name] is not inside for name, inside in fields.items()):
            return dataclasses.replace(value, **changed)
    return value


def run(main: Callable[[], None]) -> None:
    """Call `main`; print a `UserError` as `error: ...` to stderr and exit with status 1."""
    try:
        main()
    except (UserError, KeyboardInterrupt) as error:
        sys.exit(_tell(error))


@contextlib.contextmanager
def job(options: JobOptions, arguments: Any, *, sync_stops: bool) -> Iterator[None]:
    """Inside, this process is one of the job that `options` describe.

    An error ends this process at once, with what `run` would print, and the others are told.

    Args:
        options: which process of the job this is.
        arguments: the whole command line as a dataclass; all else must be the same in all of them.
        sync_stops: as for `jobs.job`.

    Raises:
        UserError: of a process that works alone.
    """
    from glcic_jax.runtime import jobs

    member = jobs.find_member(options.coordinator, options.process_count, options.process_index)
    settings = dict(_flatten(dataclasses.asdict(arguments)))
    settings = {name: value for name, value in settings.items() if not name.startswith("job.")}
    together = jobs.job(
        member,
        settings,
        timeout=options.start_timeout,
        sync_stops=sync_stops,
        when_lost=_end_after_loss,
    )
    try:
        with together:
            yield
    except BaseException as error:
        if member is None:
            raise
        _end(_tell(error))


def _tell(error: BaseException) -> int:
    """Print an error as a user should see it; the exit status."""
    if isinstance(error, UserError):
        print(f"error: {error}", file=sys.stderr)
        return 1
    if isinstance(error, KeyboardInterrupt):
        print("interrupted", file=sys.stderr)
        return 130
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    traceback.print_exception(error)
    return 1


def _end_after_loss(reason: str) -> None:
    print(
        f"error: {reason}\nWhat is saved stays. Start all processes again to go on from there.",
        file=sys.stderr,
    )
    _end(1)


def _end(status: int) -> NoReturn:
    """End at once. An orderly end would wait for the other processes, and they for this one: one
    that waits for them inside a computation can't be interrupted."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _flatten(table: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in table.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}".replace("_", "-").removeprefix("config."), str(value)
