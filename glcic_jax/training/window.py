"""The steps between two reports: their means, whether they are finite, and how fast they were."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import time
from collections.abc import Iterator

import jax
import numpy as np

from glcic_jax.config.settings import Phase
from glcic_jax.errors import UserError
from glcic_jax.training.terms import Terms


@dataclasses.dataclass(frozen=True)
class Record:
    """Means over the steps of one window, as Python numbers.

    `losses` are those of the `terms` that are minimised; `data_wait` is a share of the time.
    """

    step: int
    phase: Phase
    terms: dict[str, float]
    losses: dict[str, float]
    images_per_second: float
    data_wait: float


class Window:
    """The steps since the last report. Their losses stay on the device until it is closed."""

    def __init__(self, batch_size: int):
        """Begin; `batch_size` images a step."""
        self._batch_size = batch_size
        self.restart()

    @property
    def empty(self) -> bool:
        """Whether no step was taken in."""
        return not self._steps

    def restart(self) -> None:
        """Forget all steps; time counts from here."""
        self._steps: list[tuple[int, Phase, Terms]] = []
        self._waited = 0.0
        self._started = time.perf_counter()

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Time spent inside counts as waiting for data."""
        started = time.perf_counter()
        yield
        self._waited += time.perf_counter() - started

    def add(self, step: int, phase: Phase, terms: Terms) -> None:
        """Take in what a step reported."""
        self._steps.append((step, phase, terms))

    def close(self) -> Record:
        """Raise a `UserError` if a term is not finite; start the next window."""
        steps, fetched = self._steps, jax.device_get([terms for _, _, terms in self._steps])
        seconds = time.perf_counter() - self._started
        for (step, phase, _), terms in zip(steps, fetched, strict=True):
            for name, value in terms.flat().items():
                if not math.isfinite(value):
                    raise UserError(
                        f"{name} is {value} at step {step} ({phase} phase); the run stops and its "
                        "last good checkpoint stays. A lower optimizer.learning-rate may help"
                    )
        step, phase, _ = steps[-1]
        last = fetched[-1]
        flat = [terms.flat() for terms in fetched]
        means = {name: float(np.mean([terms[name] for terms in flat])) for name in flat[-1]}
        rate = len(steps) * self._batch_size / seconds
        losses = {name: means[name] for name in last.losses}
        record = Record(step, phase, means, losses, rate, self._waited / seconds)
        self.restart()
        return record
