"""SIGKILL at random moments: the run that is resumed ends with the bits of an undisturbed one."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import skimage.data
from PIL import Image

from glcic_jax.runtime import orbax_files
from glcic_jax.runtime.checkpoint_files import STATE, newest_step, read_summary
from tests.support import finish, start_python

from .table import Row

TINY = (
    "--image-size 32 --data.batch-size 4 --data.workers 1 --model.width 4 --model.dilations 2 4 "
    "--model.discriminator-width 4 --model.dense-features 8 --optimizer.schedule constant "
    "--loop.log-every 5 --loop.save-every 5 --loop.validate-every 1000000 "
    "--loop.validation-images 8"
).split()
PHASES = ("completion", "discriminator", "joint")
CASES = (*(f"{kind}-{phase}" for kind in ("resident", "streaming") for phase in PHASES), "saving")


def run(work: Path, kills: int, cases: list[str] | None = None) -> Iterator[Row]:
    """A row for each case: so many kills in all."""
    for case in cases or CASES:
        yield run_case(work / case, work / "compiled", case, kills)


def run_case(work: Path, cache: Path, case: str, kills: int, steps: int = 150) -> Row:
    """Kill a run again and again; when it has ended, compare, and start anew if kills are left."""
    work.mkdir(parents=True)
    options = _options(work, case, steps)
    undisturbed = finish(_start(cache, work / "whole", options))
    if undisturbed.returncode:
        raise AssertionError(undisturbed.stderr[-2000:])
    moments = random.Random(f"{case}")
    done, lives, runs, losses = 0, 0, 0, 0
    while done < kills:
        workdir, runs = work / f"killed{runs}", runs + 1
        while True:
            process, lives = _start(cache, workdir, options), lives + 1
            if done < kills:
                done += _kill(process, workdir, case, moments, anywhere=lives % 5 == 0)
            ended = finish(process)
            if ended.returncode != -signal.SIGKILL:
                break
        losses += ended.returncode != 0 or not same_end(work / "whole", workdir)
    what = f"SIGKILL at random moments of a run of {steps} steps, resumed: {case}"
    outcome = f"{lives} starts, {runs} runs ended, {runs - losses} with equal bits"
    return Row(f"1 kills, {case}", what, done, outcome, losses)


def same_end(whole: Path, other: Path) -> bool:
    """Whether the last checkpoints of two runs have the same step and the same arrays."""
    ends = []
    for workdir in (whole, other):
        path = workdir / "checkpoints" / str(newest_step(workdir))
        arrays = orbax_files.read_arrays(path / STATE, read_summary(path).arrays)
        ends.append({name: np.asarray(array) for name, array in arrays.items()})
    one, two = ends
    return one.keys() == two.keys() and all(
        one[name].dtype == two[name].dtype and one[name].tobytes() == two[name].tobytes()
        for name in one
    )


def _start(cache: Path, workdir: Path, options: list[str]) -> subprocess.Popen:
    return start_python(cache, "train.py", "--workdir", str(workdir), *options)


def _options(work: Path, case: str, steps: int) -> list[str]:
    kind, _, phase = case.partition("-")
    lengths = dict.fromkeys(PHASES, 0) | {phase or "completion": steps}
    options = [*TINY]
    for name, length in lengths.items():
        options += [f"--phases.{name}-steps", str(length)]
    if kind == "streaming":
        options += ["--data.sources", f"folder:{_photographs(work)}"]
        options += ["--data.resident-megabytes", "0"]
    return options


def _photographs(work: Path) -> Path:
    for split, photo in (("train", skimage.data.chelsea()), ("val", skimage.data.coffee())):
        (work / "photographs" / split).mkdir(parents=True)
        for number in range(12):
            tile = photo[15 * number : 15 * number + 60, 20 * number : 20 * number + 80]
            Image.fromarray(tile).save(work / "photographs" / split / f"{number}.png")
    return work / "photographs"


def _kill(
    process: subprocess.Popen, workdir: Path, case: str, moments: random.Random, *, anywhere: bool
) -> bool:
    """Kill at a random moment; False if the process ended before it came.

    `anywhere`: from the start of the process on; otherwise from its first steps on.
    """
    metrics = workdir / "metrics.jsonl"
    before = metrics.stat().st_size if metrics.exists() else 0
    deadline = time.monotonic() + 300
    if not anywhere:
        # A resumed run first cuts lines off that come again.
        while process.poll() is None and time.monotonic() < deadline:
            size = metrics.stat().st_size if metrics.exists() else 0
            if size > before:
                break
            before = min(before, size)
            time.sleep(0.005)
    pause = moments.uniform(0, 8.0 if anywhere else 0.5)
    until = time.monotonic() + pause
    while process.poll() is None and time.monotonic() < until:
        time.sleep(0.001)
    if case == "saving":  # then wait for one that is being written
        while process.poll() is None and not any((workdir / "checkpoints").glob("*tmp*")):
            time.sleep(0.0005)
    if process.poll() is not None:
        return False
    process.kill()
    return process.wait() == -signal.SIGKILL
