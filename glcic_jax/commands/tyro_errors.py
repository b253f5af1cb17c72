"""What tyro says of a command line that does not fit, in a line or two.

tyro prints a framed box to stderr and exits; the events behind it are in a private module whose
types change. So its text is read: the first paragraph is what is wrong, and after it come options
that are meant to help. `tests/commands/test_tyro_errors.py` fails when the box changes.
"""

from __future__ import annotations

import contextlib
import difflib
import io
import re
from collections.abc import Callable
from typing import TypeVar

from glcic_jax.errors import UserError

T = TypeVar("T")

_FRAME = " │╭╮╰╯|+\t"
_RULE, _PLAIN_RULE = "───", "-----"
"""tyro draws with ASCII where it takes the output for one that knows nothing else; the title, which
is part of the frame otherwise, is then a paragraph of its own."""
_OPTION = re.compile(r"--[\w.-]+")


def plainly(parse: Callable[[], T]) -> T:
    """Call `parse`, which calls tyro; `--help` prints and exits as always.

    Raises:
        UserError: the command line does not fit.
    """
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            return parse()
    except SystemExit as stop:
        if not stop.code:
            raise  # --help
        raise UserError(condense(complaint.getvalue())) from None


def condense(box: str) -> str:
    """The text inside a framed complaint: its first paragraph, and the option it suggests."""
    paragraphs: list[str] = []
    current: list[str] = []
    for line in (line.strip(_FRAME) for line in box.splitlines()):
        if _RULE in line or _PLAIN_RULE in line or not line:
            paragraphs.append(" ".join(current))
            current = []
        else:
            current.append(line)
    paragraphs = [text for text in (*paragraphs, " ".join(current)) if text]
    paragraphs = paragraphs[1:] if _PLAIN_RULE in box and _RULE not in box else paragraphs
    message = paragraphs[0] if paragraphs else "the command line is not understood"
    # Of an option that is known, what follows is its description.
    typed = _OPTION.search(message) if "nrecognized" in message else None
    near = (
        difflib.get_close_matches(
            typed.group(), _OPTION.findall(" ".join(paragraphs[1:-1])), n=1, cutoff=0
        )
        if typed
        else []
    )
    hint = f"did you mean {near[0]}? " if near else ""
    return f"{message}\n{hint}--help describes every option"
