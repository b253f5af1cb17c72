"""Seconds from the command `train.py` to its first step: with compiled programs at hand, and not.

Each start is a process of its own, in an empty run directory, ended after its first step.
"""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import report
from benchmarks.timing import Spread
from glcic_jax.commands.command_line import parse, run
from glcic_jax.config.presets import preset
from glcic_jax.errors import UserError

_ROOT = Path(__file__).resolve().parent.parent
_MOST_SECONDS = 600.0
_MARKS = {"imports, data, first state": "completion network", "first step": " 1/"}
"""What is done by the time that a line of the run's output holds a text."""


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Seconds from the command to the first step of a new run."""

    preset: str = "photos"
    """Of the run."""
    rounds: int = 3
    """Starts of each kind."""
    json: Path | None = None
    """File to write all samples to."""


def main() -> None:
    """Measure, print, write JSON."""
    arguments = parse(Arguments, description=Arguments.__doc__)
    report.check_output(arguments.json)
    report.check_counts(arguments, "rounds")
    preset(arguments.preset)  # says so at once where there is none
    samples: dict[str, dict[str, list[float]]] = {}
    for _ in range(arguments.rounds):
        with tempfile.TemporaryDirectory() as place:
            for kind in ("programs to be compiled", "programs at hand"):
                seconds = _start(Path(place), kind, arguments.preset)
                for mark, value in seconds.items():
                    samples.setdefault(kind, {}).setdefault(mark, []).append(value)
    report.publish(
        f"Seconds from the command until it was done, preset {arguments.preset}",
        ("", *_MARKS),
        [
            (kind, *(report.spread(Spread.of(values)) for values in marks.values()))
            for kind, marks in samples.items()
        ],
    )
    report.write_json(arguments.json, {"preset": arguments.preset, "seconds": samples})


def _start(place: Path, name: str, wanted: str) -> dict[str, float]:
    """Seconds by mark; the programs are kept in `place`."""
    command = [sys.executable, "train.py", "--workdir", str(place / name), "--preset", wanted]
    command += ["--loop.log-every", "1"]
    environment = {
        **os.environ,
        "JAX_COMPILATION_CACHE_DIR": str(place / "programs"),
        "PYTHONUNBUFFERED": "1",
    }
    seconds: dict[str, float] = {}
    started, said = time.perf_counter(), ""
    with subprocess.Popen(
        command,
        cwd=_ROOT,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        try:
            for line in process.stdout or ():
                said += line
                taken = time.perf_counter() - started
                for mark, text in _MARKS.items():
                    if text in line:
                        seconds.setdefault(mark, taken)
                if len(seconds) == len(_MARKS) or taken > _MOST_SECONDS:
                    break
        finally:
            process.kill()
    if len(seconds) < len(_MARKS):
        raise UserError(f"{' '.join(command)} made no step; it said: {said.strip()}")
    return seconds


if __name__ == "__main__":
    run(main)
