"""Where a run reports: the terminal, `metrics.jsonl`, TensorBoard, and sample grids as PNG."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType

import numpy as np
from PIL import Image
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Column

from glcic_jax.runtime.files import replace_file, writing
from glcic_jax.runtime.journal import Journal
from glcic_jax.training.board import Board

PLAIN_SECONDS = 10.0
"""Least time between two progress lines where the output is not a terminal."""


class Writers:
    """All outputs of one training run; close it, or use it in `with`.

    Where one can't be written, such as on a full disk, its method raises a `UserError`.
    Everything is flushed at once, so that `tail -f` and TensorBoard follow the run, and a killed
    run loses nothing but, at worst, half a line, which the next start removes.
    """

    def __init__(
        self,
        workdir: Path,
        total_steps: int,
        start_step: int,
        *,
        active: bool = True,
        console: Console | None = None,
        clock: Callable[[], float] = time.monotonic,
    ):
        """Open the outputs.

        What earlier runs in `workdir` wrote for steps after `start_step` is removed, because those
        steps come again: with 0 the metrics start anew.

        Args:
            workdir: an existing directory.
            total_steps: steps of the whole run.
            start_step: steps that are done already.
            active: False makes every method do nothing; for all but one of several processes.
            console: where to print; standard output by default.
            clock: seconds, only differences count.
        """
        self._active = active
        if not active:
            return
        self._total = total_steps
        self._clock = clock
        self._samples = Path(workdir) / "samples"
        self._journal = Journal(Path(workdir), start_step)
        self._board = Board(Path(workdir) / "tensorboard", start_step)
        self._console = console or Console(force_terminal=sys.stdout.isatty())
        self._bar: _Bar | None = None
        self._plain_phase, self._plain_time = "", -math.inf
        self._pace = _Pace()

    def scalars(
        self,
        step: int,
        phase: str,
        images_per_second: float,
        terms: Mapping[str, float],
        **extra: float,
    ) -> None:
        """Record the losses of a training step.

        Args:
            step: completed steps.
            phase: completion, discriminator or joint.
            images_per_second: since the last record.
            terms: every loss term by name.
            extra: further numbers by name, such as the share of time spent waiting for data.
        """
        values = {"images_per_second": images_per_second, **terms, **extra}
        self._record(step, phase, "train", values)

    def validation(self, step: int, scores: Mapping[str, float]) -> None:
        """Record validation scores, by name."""
        self._record(step, "validation", "validation", scores)

    def grid(self, step: int, image_u8: np.ndarray) -> None:
        """Write a uint8 image_HxWx3 to `samples/step_<step>.png` and to TensorBoard."""
        if not self._active:
            return
        path = self._samples / f"step_{step:08d}.png"
        with writing(path):
            self._samples.mkdir(exist_ok=True)
            replace_file(path, Image.fromarray(image_u8).save)
        self._board.image(step, "validation/samples", image_u8)

    def progress(
        self, step: int, phase: str, terms: Mapping[str, float], images_per_second: float
    ) -> None:
        """Show how far the run is: a bar on a terminal, otherwise a line every 10 seconds.

        Args:
            step: completed steps.
            phase: completion, discriminator or joint.
            terms: loss terms by name.
            images_per_second: as measured by the caller.
        """
        if not self._active:
            return
        now = self._clock()
        left = _duration(self._pace.seconds_left(phase, step, self._total, now))
        losses = "  ".join(f"{name} {value:.4g}" for name, value in terms.items())
        if self._console.is_terminal:
            if self._bar is None:
                self._bar = _Bar(self._console, self._total)
            self._bar.update(step, phase, losses, images_per_second, left)
            return
        due = now - self._plain_time >= PLAIN_SECONDS
        if due or phase != self._plain_phase or step >= self._total:
            self._plain_phase, self._plain_time = phase, now
            self.message(
                f"{phase} {step}/{self._total}  {losses}  "
                f"{images_per_second:.0f} images/s  {left} left"
            )

    def message(self, text: str) -> None:
        """Print a line; on a terminal above the bar."""
        if not self._active:
            return
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)
        self._console.file.flush()

    def close(self) -> None:
        """Finish every output; no other method may be called afterwards."""
        if not self._active:
            return
        self._active = False
        if self._bar is not None:
            self._bar.close()
        self._journal.close()
        self._board.close()

    def __enter__(self) -> Writers:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _record(self, step: int, phase: str, folder: str, values: Mapping[str, float]) -> None:
        if not self._active:
            return
        finite = self._journal.append(step, phase, values)
        self._board.scalars(step, {f"{folder}/{name}": x for name, x in finite.items()})


class _Pace:
    """Seconds a step, of the current phase: phases differ in speed several times."""

    def __init__(self) -> None:
        self._phase = ""
        self._step = 0
        self._time = 0.0
        self._seconds_a_step = math.nan

    def seconds_left(self, phase: str, step: int, total: int, now: float) -> float:
        """NaN until two calls of this process made a pace."""
        if phase != self._phase:
            self._phase, self._step, self._time = phase, step, now
        elif step > self._step:
            self._seconds_a_step = (now - self._time) / (step - self._step)
        return self._seconds_a_step * (total - step)


def _duration(seconds: float) -> str:
    if not math.isfinite(seconds):
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


class _Bar:
    """One line at the bottom of a terminal."""

    def __init__(self, console: Console, total: int):
        cut = Column(no_wrap=True, overflow="ellipsis", ratio=1)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=12),
            TextColumn("{task.completed:.0f}/{task.total:.0f}"),
            TextColumn("{task.fields[losses]}", table_column=cut, markup=False),
            TextColumn("{task.fields[rate]:.0f} images/s"),
            TextColumn("{task.fields[left]} left"),
            console=console,
            refresh_per_second=2,
            expand=True,
        )
        self._task: TaskID = self._progress.add_task("", total=total, losses="", rate=0.0, left="?")
        self._progress.start()

    def update(self, step: int, phase: str, losses: str, rate: float, left: str) -> None:
        self._progress.update(
            self._task, completed=step, description=phase, losses=losses, rate=rate, left=left
        )

    def close(self) -> None:
        self._progress.refresh()
        self._progress.stop()
