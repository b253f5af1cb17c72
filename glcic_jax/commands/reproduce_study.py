"""Train every variant of the study and write the report that compares them.

glcic-jax reproduce-study --workdir runs/study

What is finished is not trained again and what was interrupted goes on, so the same command can be
started as often as it takes. On a CPU, `--jobs 2` trains two runs side by side, each on half of the
cores: their operations wait less for threads to meet.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import queue
import subprocess
import sys
from concurrent import futures
from pathlib import Path
from typing import IO

from glcic_jax.commands.command_line import parse
from glcic_jax.config.presets import STUDY
from glcic_jax.config.rules import PROTOCOLS
from glcic_jax.config.scoring import HoleProtocol
from glcic_jax.config.settings import total_steps
from glcic_jax.errors import UserError
from glcic_jax.runtime.journal import HISTORY, last_step, read_history


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Train the study's variants on CIFAR-100, and compare them on the test images."""

    workdir: Path
    """Directory of all runs, of the classifier and of the report."""
    variants: tuple[str, ...] = tuple(STUDY)
    """Presets to train, in this order."""
    seeds: int = 3
    """Runs of each variant in `repeated`, with the seeds 0, 1, 2, ...; one of the others."""
    repeated: tuple[str, ...] = ("glcic", "residual_patchgan")
    """The variants that the study compares."""
    jobs: int = 1
    """Runs that train at a time, each on its share of the CPU cores. With more than one, what a run
    prints goes to a file beside its directory."""
    protocol: tuple[HoleProtocol, ...] = PROTOCOLS
    """Shapes of the holes; each has its tables in the report."""


def main() -> None:
    """Run `train` for every variant, `train-classifier` and `evaluate`."""
    arguments = parse(Arguments, description=Arguments.__doc__)
    _check(arguments)
    arguments.workdir.mkdir(parents=True, exist_ok=True)
    runs = [(name, 0) for name in arguments.variants]
    runs += [
        (name, seed)
        for seed in range(1, arguments.seeds)
        for name in arguments.repeated
        if name in arguments.variants
    ]
    workdirs = {arguments.workdir / f"{name}-{seed}": (name, seed) for name, seed in runs}
    if arguments.jobs == 1:
        for workdir, (name, seed) in workdirs.items():
            _call(*_training(workdir, name, seed))
            _require_finished(workdir, name)
    else:
        _train_side_by_side(workdirs, arguments.jobs)
    classifier = arguments.workdir / "classifier.npz"
    if not classifier.exists():
        _call("train-classifier", "--output", str(classifier))
    report = ["--report", str(arguments.workdir / "report"), "--classifier", str(classifier)]
    # The newest checkpoints: the best by validation would mostly be from before the joint phase.
    scored = ["--checkpoint", "latest", "--protocol", *arguments.protocol]
    _call("evaluate", "--workdir", *map(str, workdirs), *report, *scored)


def _check(arguments: Arguments) -> None:
    for name in (*arguments.variants, *arguments.repeated):
        if name not in STUDY:
            raise UserError(f"there is no variant {name!r}; known are {', '.join(STUDY)}")
    for option in ("seeds", "jobs"):
        value = getattr(arguments, option)
        if value < 1:
            raise UserError(f"--{option} is {value}; it must be at least 1")
    if arguments.jobs > _cores():
        raise UserError(f"--jobs is {arguments.jobs}; there are {_cores()} CPU cores to share")


def _training(workdir: Path, name: str, seed: int) -> tuple[str, ...]:
    return ("train", "--workdir", str(workdir), "--preset", name, "--seed", str(seed))


def _require_finished(workdir: Path, name: str) -> None:
    """A training that was told to stop saves and ends as well; it must not be scored."""
    steps, done = total_steps(STUDY[name]), last_step(read_history(workdir / HISTORY))
    if done < steps:
        raise UserError(
            f"{workdir} stopped at step {done} of {steps}; the same command goes on from there"
        )


def _train_side_by_side(workdirs: dict[Path, tuple[str, int]], jobs: int) -> None:
    """Train all runs, `jobs` at a time; the first that fails keeps the waiting ones from starting.

    A thread of this program waits for each; the one that trains takes its cores from the queue.
    """
    free: queue.Queue[set[int] | None] = queue.Queue()
    for number in range(jobs):
        free.put(_share(number, jobs))

    def train(workdir: Path) -> None:
        cores = free.get()
        try:
            with open(f"{workdir}.log", "a", encoding="utf-8") as log:
                _call(*_training(workdir, *workdirs[workdir]), log=log, cores=cores)
            _require_finished(workdir, workdirs[workdir][0])
        finally:
            free.put(cores)

    pool = futures.ThreadPoolExecutor(jobs)
    try:
        runs = [pool.submit(train, workdir) for workdir in workdirs]
        for ended in futures.wait(runs, return_when=futures.FIRST_EXCEPTION).done:
            ended.result()
    finally:  # After Ctrl-C too the runs that train save and end.
        pool.shutdown(cancel_futures=True)


def _cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _share(number: int, jobs: int) -> set[int] | None:
    """The cores of the job of this number; None where a process can't be kept to some of them."""
    if not hasattr(os, "sched_getaffinity"):  # macOS, Windows
        return None
    return set(sorted(os.sched_getaffinity(0))[number::jobs])


def _call(
    name: str, *arguments: str, log: IO[str] | None = None, cores: set[int] | None = None
) -> None:
    """Run another command in a process of its own; its errors are its own to tell."""
    print(f"$ glcic-jax {name} {' '.join(arguments)}", flush=True)
    command = [sys.executable, "-m", "glcic_jax", name, *arguments]
    with subprocess.Popen(command, stdout=log, stderr=log) as process:
        if cores:
            # Long before the program counts its cores, unless it has ended already.
            with contextlib.suppress(ProcessLookupError):
                os.sched_setaffinity(process.pid, cores)
        try:
            status = process.wait()
        except KeyboardInterrupt:
            process.wait()  # Ctrl-C reached it as well: it saves first.
            raise
    if status:
        told = f"; {log.name} says why" if log else ""
        raise UserError(f"glcic-jax {name} {' '.join(arguments)} ended with status {status}{told}")
