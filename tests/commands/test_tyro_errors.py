"""The text that is read out of tyro's framed complaints; fails when tyro draws them otherwise."""

from __future__ import annotations

import dataclasses
from typing import Literal

import pytest
import tyro

from glcic_jax.commands.tyro_errors import plainly
from glcic_jax.errors import UserError


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Two options."""

    workdir: str
    """Where."""
    learning_rate: float = 0.1
    """How fast."""
    kind: Literal["one", "two"] = "one"
    """Which."""


def complaint(*words: str) -> str:
    with pytest.raises(UserError) as raised:
        plainly(lambda: tyro.cli(Arguments, args=words))
    return str(raised.value)


@pytest.mark.parametrize(
    ("words", "first", "hint"),
    [
        ((), "--workdir", ""),
        (("--workdir", "x", "--learning-rat", "1"), "--learning-rat", "--learning-rate"),
        (("--workdir", "x", "--learning-rate", "fast"), "fast", ""),
        (("--workdir", "x", "--kind", "three"), "three", ""),
        (("--workdir",), "--workdir", ""),
    ],
)
def test_a_complaint_is_its_first_paragraph_and_a_hint(words, first, hint):
    message, last = complaint(*words).split("\n")
    assert first in message
    assert len(message) < 160
    assert not set(message) & set("│╭╮╰╯─")
    assert last.endswith("--help describes every option")
    assert last.startswith(f"did you mean {hint}? " if hint else "--help")


def test_what_fits_and_help_pass_through(capsys):
    assert plainly(lambda: tyro.cli(Arguments, args=["--workdir", "x"])) == Arguments("x")
    with pytest.raises(SystemExit) as stopped:
        plainly(lambda: tyro.cli(Arguments, args=["--help"]))
    assert stopped.value.code == 0
    assert "--learning-rate" in capsys.readouterr().out
