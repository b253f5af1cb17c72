"""What the command-line programs share: parsing, and errors as one message, not a traceback."""

from __future__ import annotations

import contextlib
import io
import re
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import tyro

from glcic_jax.errors import UserError

Arguments = TypeVar("Arguments")


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
        sys.exit(1)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)


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
