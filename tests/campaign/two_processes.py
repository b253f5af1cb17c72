"""A job of two processes, one of which is killed: the other says so, and the job resumes."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests.support import free_port, start_python

from .kills import TINY, same_end
from .table import Row

LONGEST_WAIT = 60.0
"""Seconds within which the process that is left must have ended."""
STEPS = 200
_JAXS = "another task died"
"""What JAX says when it ends a process because another one is gone."""


def run(work: Path, kills: int) -> Iterator[Row]:
    """One row."""
    cache = work / "compiled"
    _finish(_start(cache, work / "whole"), 300)
    moments = random.Random(4)
    done, ours, jaxs, starts, runs, losses = 0, 0, 0, 0, 0, 0
    while done < kills:
        workdir, runs = work / f"killed{runs}", runs + 1
        ended = False
        while not ended:
            job, starts = _start(cache, workdir), starts + 1
            if done < kills and _kill_one(job, workdir, moments):
                done += 1
                results = _finish(job, LONGEST_WAIT)
                left = [result for result in results if result[0] != -signal.SIGKILL]
                # Where it was the coordinator, JAX prints lines of its own before ours, and where
                # the machine is busy it may end the process before ours is written.
                left = [result for result in left if result[0] not in (0, 124)]
                is_ours = len(left) == 1 and "\nerror: process " in left[0][1]
                is_jaxs = len(left) == 1 and not is_ours and _JAXS in left[0][1]
                ours, jaxs = ours + is_ours, jaxs + is_jaxs
                if not (is_ours or is_jaxs):
                    losses += 1
                if not is_ours:
                    print(f"after a kill: {results}", file=sys.stderr)
            else:
                results = _finish(job, 300)
                ended = True
                whole = all(status == 0 for status, _ in results)
                losses += not (whole and same_end(work / "whole", workdir))
    what = f"one of the two processes of a job of {STEPS} steps killed at random; started again"
    outcome = (
        f"the other one said so and ended, {ours} times by our message, {jaxs} by JAX's; {runs} "
        "runs ended, bits compared"
    )
    yield Row("4 job", what, done, outcome, losses)


def _start(cache: Path, workdir: Path) -> list[subprocess.Popen]:
    job = ["--coordinator", f"localhost:{free_port()}", "--start-timeout", "60"]
    lengths = f"--phases.completion-steps {STEPS} --phases.discriminator-steps 0"
    options = ["--workdir", str(workdir), *TINY, *lengths.split(), "--phases.joint-steps", "0"]
    return [
        start_python(
            cache, "train.py", *options, *job, "--process-count", "2", "--process-index", str(i)
        )
        for i in range(2)
    ]


def _kill_one(job: list[subprocess.Popen], workdir: Path, moments: random.Random) -> bool:
    metrics = workdir / "metrics.jsonl"
    before = metrics.stat().st_size if metrics.exists() else 0
    while all(process.poll() is None for process in job):
        size = metrics.stat().st_size if metrics.exists() else 0
        if size > before:
            break
        before = min(before, size)
        time.sleep(0.005)
    time.sleep(moments.uniform(0, 1.0))
    if any(process.poll() is not None for process in job):
        return False
    moments.choice(job).kill()
    return True


def _finish(job: list[subprocess.Popen], seconds: float) -> list[tuple[int, str]]:
    """Status and what is on stderr, but for Gloo's lines, of each; those that hang are killed."""
    deadline = time.monotonic() + seconds
    results = []
    for process in job:
        try:
            _, errors = process.communicate(timeout=max(0.1, deadline - time.monotonic()))
            status = process.returncode
        except subprocess.TimeoutExpired:
            process.kill()
            _, errors = process.communicate()
            status = 124
        said = [line for line in errors.splitlines() if not line.startswith("[Gloo]")]
        results.append((status, "\n".join(["", *said])))
    return results
