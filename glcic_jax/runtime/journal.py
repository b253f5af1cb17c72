"""A run's `metrics.jsonl`: how it is written, and what is read out of it.

One strict JSON object a line. Training: step, phase, images_per_second and every loss term.
Validation: step, phase "validation" and every score. A value that is not finite is null. Steps
count what is completed: line n describes the state that checkpoint n holds.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from glcic_jax.runtime.files import writing

HISTORY = "metrics.jsonl"
"""Name of the file in the directory of a run."""

SATURATED = 0.95
"""Share of right answers, on real and on completed images alike, from which the discriminators are
called saturated: they then hardly tell the generator where to go."""


class Journal:
    """Appends to the `metrics.jsonl` of a run, a line at a time, each of them flushed."""

    def __init__(self, workdir: Path, start_step: int):
        """Open the file in an existing directory.

        Lines of steps after `start_step` are removed, because those steps come again, and so is
        what is left of a line whose writing was cut short.

        Raises:
            UserError: it can't be written.
        """
        self._path = Path(workdir) / HISTORY
        with writing(self._path):
            _cut_back(self._path, start_step)
            self._file = self._path.open("ab", buffering=0)

    def append(self, step: int, phase: str, values: Mapping[str, float]) -> dict[str, float]:
        """Write one line; those of the values that are finite.

        Raises:
            ValueError: a value is called step or phase.
            UserError: the file can't be written, such as on a full disk; it holds whole lines.
        """
        line: dict[str, Any] = {"step": int(step), "phase": phase}
        clashing = sorted(line.keys() & values.keys())
        if clashing:
            raise ValueError(f"{clashing[0]} is not free as the name of a value")
        finite = {n: float(v) for n, v in values.items() if math.isfinite(float(v))}
        line |= {name: finite.get(name) for name in values}
        self._write(json.dumps(line, allow_nan=False).encode() + b"\n")
        return finite

    def _write(self, line: bytes) -> None:
        size = os.fstat(self._file.fileno()).st_size
        rest = memoryview(line)
        with writing(self._path):
            try:
                while rest:  # the last bytes of a disk are taken before it says that it is full
                    rest = rest[self._file.write(rest) :]
            except OSError:
                with contextlib.suppress(OSError):
                    self._file.truncate(size)
                raise

    def close(self) -> None:
        """No line may be appended afterwards."""
        self._file.close()


def _cut_back(path: Path, last_step: int) -> None:
    if not path.exists():
        return
    with path.open("rb") as file:
        lines = file.readlines()
    kept = [line for line in lines if _step_of(line) <= last_step]
    if len(kept) < len(lines):
        part = path.with_suffix(".jsonl.part")
        part.write_bytes(b"".join(kept))
        os.replace(part, path)


def _step_of(line: bytes) -> float:
    """The step of a line; infinite if it isn't a whole one."""
    try:
        step = json.loads(line)["step"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return math.inf
    return step if line.endswith(b"\n") and isinstance(step, int) else math.inf


def read_history(path: Path) -> list[dict[str, Any]]:
    """The lines of `metrics.jsonl` in order; what can't be read is left out, none if no file.

    Left out are lines without a step and a phase, and values that are neither a finite number nor
    null, such as text.
    """
    records = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return []
    for line in lines:
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(record, dict) and _is_step(record.get("step")):
            phase = record.pop("phase", None)
            if isinstance(phase, str):
                values = {name: x for name, x in record.items() if x is None or _is_number(x)}
                records.append({"phase": phase} | values)
    return records


def _is_step(value: Any) -> bool:
    return _is_number(value) and isinstance(value, int) and 0 <= value < 2**53


def _is_number(value: Any) -> bool:
    """Whether a value is one that a float can hold."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return abs(value) <= sys.float_info.max


def last_step(history: list[dict[str, Any]]) -> int:
    """The last step that was recorded; 0 if none was."""
    return max((record["step"] for record in history), default=0)


def training_time(history: list[dict[str, Any]], batch_size: int) -> dict[str, float]:
    """Seconds spent in training steps and median images a second, by phase and in all.

    Returns:
        `seconds`, `images`, and `{phase}_images_per_second` for each phase that was run.
    """
    seconds, before = 0.0, 0
    rates: dict[str, list[float]] = {}
    for record in history:
        rate = record.get("images_per_second")
        if record["phase"] == "validation" or not rate:
            continue
        seconds += (record["step"] - before) * batch_size / rate
        before = record["step"]
        rates.setdefault(record["phase"], []).append(rate)
    medians = {f"{phase}_images_per_second": float(np.median(r)) for phase, r in rates.items()}
    return {"seconds": seconds, "images": float(before * batch_size), **medians}


def curve(history: list[dict[str, Any]], name: str) -> list[tuple[int, float]]:
    """(step, value) wherever `name` was recorded."""
    return [
        (record["step"], float(record[name])) for record in history if record.get(name) is not None
    ]


def discriminator_accuracy(record: dict[str, Any]) -> tuple[float, float] | None:
    """Mean over the discriminators of their accuracy on real and on completed images."""
    sides = []
    for side in ("real", "completed"):
        names = [name for name in record if name.endswith(f"_accuracy_{side}")]
        values = [record[name] for name in names if record[name] is not None]
        if not values:
            return None
        sides.append(float(np.mean(values)))
    return sides[0], sides[1]


def is_saturated(record: dict[str, Any]) -> bool:
    """Whether the discriminators are right nearly always, on either kind of image."""
    accuracy = discriminator_accuracy(record)
    return accuracy is not None and min(accuracy) >= SATURATED


def health(history: list[dict[str, Any]]) -> dict[str, Any] | None:
    """How the adversarial balance stood in the last third of the joint phase; None without one.

    Returns:
        `accuracy_real`, `accuracy_completed` and `gradient_ratio` (see
        `steps.joint_step`; None if it was never finite), and `saturated`: the share of reports that
        were.
    """
    joint = [record for record in history if record["phase"] == "joint"]
    last = [record for record in joint[len(joint) * 2 // 3 :] if discriminator_accuracy(record)]
    if not last:
        return None
    accuracies = np.array([discriminator_accuracy(record) for record in last])
    ratios = [value for _, value in curve(last, "adversarial_gradient_ratio")]
    return {
        "accuracy_real": float(accuracies[:, 0].mean()),
        "accuracy_completed": float(accuracies[:, 1].mean()),
        "gradient_ratio": float(np.mean(ratios)) if ratios else None,
        "saturated": float(np.mean([is_saturated(record) for record in last])),
    }
