"""Time several ways to do the same thing: in turn, in one process, so that all meet one machine."""

from __future__ import annotations

import dataclasses
import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Run = Callable[[int], Any]
"""Does its work so many times and returns when all of it is done."""

_SETTLE_SECONDS = 0.2


@dataclasses.dataclass(frozen=True)
class Spread:
    """A quantity over the rounds of a run, in whatever unit it was given."""

    median: float
    low: float
    high: float
    quartiles: tuple[float, float]

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Median, extremes and quartiles of at least one number."""
        quartiles = (values[0], values[0])
        if len(values) > 1:
            first, _, third = statistics.quantiles(values, n=4, method="inclusive")
            quartiles = (first, third)
        return cls(statistics.median(values), min(values), max(values), quartiles)


@dataclasses.dataclass(frozen=True)
class Samples:
    """What was measured of one contender.

    Attributes:
        first_seconds: the first call; compilation is in it.
        call_seconds: mean seconds of a call, one number for each round.
        calls: calls in each round.
        busy_before: CPU seconds for each second of the pause before its turns, the most of any.
            Near 0: nobody's idle threads were still spinning when its turn began.
    """

    first_seconds: float
    call_seconds: list[float]
    calls: int
    busy_before: float

    def seconds(self) -> Spread:
        """Seconds of a call."""
        return Spread.of(self.call_seconds)

    def rate(self, items: float) -> Spread:
        """Items a second, where a call deals with `items` of them."""
        return Spread.of([items / seconds for seconds in self.call_seconds])

    def record(self) -> dict[str, Any]:
        """Everything, for JSON."""
        return dataclasses.asdict(self)


def alternate(
    contenders: Mapping[str, Run],
    *,
    rounds: int,
    seconds: float = 0.0,
    calls: int = 0,
    prepare: Mapping[str, Callable[[], Any]] | None = None,
    settle_seconds: float = _SETTLE_SECONDS,
) -> dict[str, Samples]:
    """Time the contenders in turn, in an order that rotates from round to round.

    Args:
        contenders: by name. Each is called a few times for warm-up first.
        rounds: how often each has its turn, at least 1.
        seconds: the least that a turn should last.
        calls: in each turn, instead of as many as fill `seconds`.
        prepare: by name, called before each turn and not timed.
        settle_seconds: pause before each turn, for the other's threads to come to rest.
    """
    prepare = prepare or {}
    first, counts = {}, {}
    for name, run in contenders.items():
        first[name] = _time(run, 1)
        # The second call may still meet cold caches.
        once = min(_time(run, 1), _time(run, 1))
        counts[name] = calls or max(1, math.ceil(seconds / max(once, 1e-9)))
    call_seconds: dict[str, list[float]] = {name: [] for name in contenders}
    busy = dict.fromkeys(contenders, 0.0)
    names = list(contenders)
    for number in range(rounds):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            busy[name] = max(busy[name], _settle(settle_seconds))
            prepare.get(name, _nothing)()
            call_seconds[name].append(_time(contenders[name], counts[name]) / counts[name])
    return {
        name: Samples(first[name], call_seconds[name], counts[name], busy[name]) for name in names
    }


def _time(run: Run, count: int) -> float:
    started = time.perf_counter()
    run(count)
    return time.perf_counter() - started


def _settle(seconds: float) -> float:
    """Pause; returns the CPU seconds that this process used for each second of the second half."""
    time.sleep(seconds / 2)
    started, used = time.perf_counter(), time.process_time()
    time.sleep(seconds / 2)
    return (time.process_time() - used) / max(time.perf_counter() - started, 1e-9)


def _nothing() -> None:
    pass
