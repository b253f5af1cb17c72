"""What the annotation of a field says of its values, and the one check of it.

`Annotated[int, Range(1, 64)]`: the number, or each number of a tuple, lies between the two.
`Annotated[int, Rule(...)]`: another condition on one value. `Literal[...]`: one of these.
Conditions that involve two fields are combinations, see `checks.py`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import Any, Literal, get_args, get_origin, get_type_hints

from glcic_jax.errors import UserError


@dataclasses.dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both of which count; no `high`: as large as you like."""

    low: float
    high: float | None = None

    def complaint(self, value: Any) -> str | None:
        """What is wrong with a number or a tuple of numbers, to stand after the option's name."""
        for number in value if isinstance(value, tuple) else (value,):
            if not isinstance(number, (int, float)):  # from a file; the command line has types
                return f" holds {str(number)[:40]!r}; it must hold numbers"
            if not self.low <= number <= self._highest:  # nor is NaN
                return f" is {shown(number)}; it must {self._expected}"
        return None

    @property
    def _highest(self) -> float:
        return math.inf if self.high is None else self.high

    @property
    def _expected(self) -> str:
        if self.high is None:
            return f"be at least {shown(self.low)}"
        return f"lie between {shown(self.low)} and {shown(self.high)}"


@dataclasses.dataclass(frozen=True)
class Rule:
    """A condition that is no range.

    `complaint` answers with what is wrong with a value, to stand after the option's name, or None.
    """

    complaint: Callable[[Any], str | None]


def check_fields(settings: Any, prefix: str = "") -> None:
    """Check every field of a dataclass, and of those inside it, against its annotation.

    Args:
        settings: the dataclass.
        prefix: stands before the names of its options, such as `model.`.

    Raises:
        UserError: names the option as the command line spells it, its value and what it must be.
    """
    for name, kind in get_type_hints(type(settings), include_extras=True).items():
        value, option = getattr(settings, name), prefix + name.replace("_", "-")
        if dataclasses.is_dataclass(value):
            check_fields(value, f"{option}.")
            continue
        for complaint in _complaints(kind, value):
            raise UserError(f"{option}{complaint}")


def _complaints(kind: Any, value: Any) -> Iterator[str]:
    known = get_args(kind)
    if get_origin(kind) is Literal and value not in known:
        yield f" is {value!r}; choose one of {', '.join(map(str, known))}"
    for condition in getattr(kind, "__metadata__", ()):
        if isinstance(condition, (Range, Rule)):
            complaint = condition.complaint(value)
            if complaint is not None:
                yield complaint


def shown(number: float) -> str:
    """A number for a message; a whole one of any size as it stands."""
    return str(number) if isinstance(number, int) else f"{number:g}"
