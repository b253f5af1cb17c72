"""Long runs and many fills: the memory that they hold does not grow."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

from tests.support import start_python

from .kills import TINY
from .table import Row

MOST_GROWTH = 0.05
FILLS = """
    import sys
    from glcic_jax import inpaint_fn, load_generator
    from glcic_jax.runtime.memory import give_back_large_blocks
    from tests.campaign.threads import make_fill
    give_back_large_blocks()
    generator, variables = load_generator("photographs")
    status = open("/proc/self/status")
    for number in range(int(sys.argv[1])):
        inpaint_fn(generator, variables, *make_fill(number, (40, 300), 50))
        status.seek(0)
        resident = next(line.split()[1] for line in status if line.startswith("VmRSS"))
        with open(sys.argv[2], "a") as done:
            done.write(f"{number + 1} {resident}\\n")
"""


def run(work: Path, steps: int, fills: int) -> Iterator[Row]:
    """A row for training and one for filling; `steps` or `fills` of 0 leave theirs out."""
    cache = work / "compiled"
    if steps:
        workdir = work / "run"
        length = f"--phases.completion-steps {steps} --phases.discriminator-steps 0"
        every = (
            f"--phases.joint-steps 0 --loop.log-every 20 --loop.save-every {max(1, steps // 50)}"
        )
        options = ["--workdir", str(workdir), *TINY, *length.split(), *every.split()]
        process = start_python(cache, "train.py", *options)
        yield _watched("5 endurance, steps", "steps of a small network", process, workdir, steps)
    if fills:
        done = work / "fills"
        program = textwrap.dedent(FILLS)
        process = start_python(cache, "-c", program, str(fills), str(done))
        what = (
            "fills by `photographs`, with memory as the page and `glcic-jax fill` use it, of 40 to "
            "300 px with rectangles of 1 to 50 px in random places"
        )
        yield _watched("5 endurance, fills", what, process, done, fills)


def _watched(name: str, what: str, process: subprocess.Popen, place: Path, total: int) -> Row:
    """The resident memory in the last tenth against that at the end of the first, by the middles
    of as many samples as half a tenth has."""
    samples: list[tuple[int, int]] = []
    while process.poll() is None:
        if place.is_dir():
            samples.append((_step(place), _resident(process.pid)))
        time.sleep(0.2)
    _, errors = process.communicate()
    if place.is_file():  # between fills, by the process itself
        lines = [line.split() for line in place.read_text().splitlines()]
        samples = [(int(number), int(kilobytes) * 1024) for number, kilobytes in lines]
    done = max((number for number, _ in samples), default=0)
    first = [size for number, size in samples if total * 0.05 <= number < total * 0.1 and size]
    last = [size for number, size in samples if number >= total * 0.9 and size]
    if process.returncode or not first or not last:
        print(errors[-2000:], file=sys.stderr)
        return Row(name, what, done, f"ended with {process.returncode}", 1)
    start = sorted(first)[len(first) // 2]
    growth = sorted(last)[len(last) // 2] / start - 1
    highest = max(size for number, size in samples if number >= total * 0.1) / start - 1
    outcome = (
        f"{start / 2**20:.0f} MiB at the end of the first tenth, {growth:+.1%} in the last one, "
        f"at most {highest:+.1%}"
    )
    return Row(name, what, done, outcome, int(growth >= MOST_GROWTH))


def _step(workdir: Path) -> int:
    try:
        return json.loads((workdir / "metrics.jsonl").read_text().splitlines()[-1])["step"]
    except (OSError, IndexError, ValueError):
        return 0


def _resident(pid: int) -> int:
    """Bytes; 0 where the process has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    sizes = [line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")]
    return int(sizes[0]) * 1024 if sizes else 0
