"""SIGTERM and Ctrl-C as the wish to stop after a step, in all processes of a job alike."""

from __future__ import annotations

import signal
from types import FrameType

import jax

from glcic_jax.runtime import jobs


class StopSignals:
    """Turns SIGTERM and the first Ctrl-C into the wish to stop; after Ctrl-C it works as before.

    In a job a signal to one process stops all, after the same step. There JAX handles SIGTERM from
    the start of the job on, and Ctrl-C is passed to it.
    """

    def __init__(self) -> None:
        self._requested = ""
        self._shared = jax.process_count() > 1

    def after(self, step: int) -> str:
        """Why to stop after this step; "" to go on. To be asked once for each step."""
        if self._shared:
            return "a stop signal" if jobs.stop_requested(step) else ""
        return self._requested

    def __enter__(self) -> StopSignals:
        numbers = (signal.SIGINT,) if self._shared else (signal.SIGTERM, signal.SIGINT)
        self._before = {number: signal.signal(number, self._request) for number in numbers}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _request(self, number: int, _frame: FrameType | None) -> None:
        self._requested = signal.Signals(number).name
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if self._shared:
            signal.raise_signal(signal.SIGTERM)
