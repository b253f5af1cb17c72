"""What TensorBoard reads of a run: its events, written in order and by the thread that has them."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from glcic_jax.runtime.files import writing


@contextlib.contextmanager
def _without_torch() -> Iterator[None]:
    """Where PyTorch is installed, tensorboardX imports all of it for the name of a type, which
    takes longer than JAX, Flax and Orbax together."""
    hidden = "torch" not in sys.modules
    if hidden:
        sys.modules["torch"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if hidden:
            del sys.modules["torch"]


with _without_torch():
    from tensorboardX import summary
    from tensorboardX.event_file_writer import EventsWriter
    from tensorboardX.proto.event_pb2 import Event, SessionLog


class Board:
    """A file of events. Close it.

    tensorboardX's `SummaryWriter` writes in a thread of its own. On a full disk that thread ends
    with a traceback, and whoever adds events then waits for it for ever.
    """

    def __init__(self, directory: Path, start_step: int):
        """Open a new file.

        TensorBoard hides what it has read of the steps after `start_step`.

        Args:
            directory: made if it does not exist.
            start_step: steps that are done already.

        Raises:
            UserError: it can't be written.
        """
        self._directory = directory
        with writing(directory):
            directory.mkdir(parents=True, exist_ok=True)
            self._events: EventsWriter | None = EventsWriter(str(directory / "events"))
        start = SessionLog(status=SessionLog.START)
        self._write([Event(step=start_step + 1, session_log=start)])

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Record numbers by name.

        Raises:
            UserError: they can't be written.
        """
        made = [summary.scalar(name, value) for name, value in values.items()]
        self._write([Event(step=step, summary=one) for one in made])

    def image(self, step: int, name: str, image_u8: np.ndarray) -> None:
        """Record a uint8 image_HxWx3.

        Raises:
            UserError: it can't be written.
        """
        drawn = summary.image(name, image_u8, dataformats="HWC")
        self._write([Event(step=step, summary=drawn)])

    def close(self) -> None:
        """Nothing may be recorded afterwards."""
        if self._events is not None:
            with contextlib.suppress(OSError):  # what was recorded is on disk
                self._events.close()
            self._events = None

    def _write(self, events: list[Event]) -> None:
        """Also to disk; a file that could not be written is given up."""
        if self._events is None:
            return
        try:
            with writing(self._directory):
                for event in events:
                    event.wall_time = time.time()
                    self._events.write_event(event)
                self._events.flush()
        except BaseException:
            broken, self._events = self._events, None
            with contextlib.suppress(OSError):
                broken.close()
            raise
