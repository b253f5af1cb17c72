"""Seconds and bytes to load a run's generator, beside reading all that training needs.

Writes one checkpoint of a preset's fresh networks twice, with and without the generator's own item,
and loads each in new processes, in turns. Imports count: they are what a user waits for.
"""

from __future__ import annotations

import dataclasses
import json as json_format
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Literal

import numpy as np

from benchmarks import report
from benchmarks.timing import Spread
from glcic_jax.commands.command_line import parse, run
from glcic_jax.config.presets import preset
from glcic_jax.config.saved import to_json

Way = Literal["state", "picked", "item"]
_WAYS: dict[Way, str] = {
    "state": "the whole training state",
    "picked": "the generator, out of the state",
    "item": "the generator's own item",
}


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Seconds and bytes to load the generator of a run."""

    preset: str = "paper"
    """Whose networks."""
    repeats: int = 3
    """Processes of each kind."""
    json: Path | None = None
    """Also write the figures to this file."""


def main() -> None:
    """Save, load in turns, print."""
    arguments = parse(Arguments, description=Arguments.__doc__)
    report.check_counts(arguments, "repeats")
    report.check_output(arguments.json)
    with tempfile.TemporaryDirectory() as directory:
        _save(arguments.preset, Path(directory))
        found: dict[str, list[dict[str, float]]] = {way: [] for way in _WAYS}
        for _ in range(arguments.repeats):
            for way in _WAYS:
                source = Path(directory, "old" if way == "picked" else "new")
                found[way].append(_measure(way, source))
    columns = ("what is read", "seconds", "MB read")
    rows = [
        (title, *(report.spread(_spread(found[way], key)) for key in ("seconds", "megabytes")))
        for way, title in _WAYS.items()
    ]
    report.publish(f"{arguments.preset}: load the generator of a run", columns, rows)
    report.write_json(arguments.json, {"preset": arguments.preset, "loads": found})


def _spread(loads: list[dict[str, float]], key: str) -> Spread:
    values = [load[key] for load in loads]
    return Spread.of(values)


def _save(name: str, directory: Path) -> None:
    import jax

    from glcic_jax.runtime.checkpoints import Checkpoints
    from glcic_jax.runtime.workdir import open_workdir
    from glcic_jax.training.state import create_train_state, generator_variables

    config = preset(name)
    create = jax.jit(create_train_state, static_argnums=1)
    state = create(jax.random.key(0), config, np.full(3, 0.5, np.float32))
    for kind, generator in (("old", None), ("new", generator_variables(state))):
        open_workdir(directory / kind, config)
        with Checkpoints(directory / kind, keep=1) as checkpoints:
            checkpoints.save(1, state, score=None, generator=generator, config=to_json(config))


def _measure(way: Way, workdir: Path) -> dict[str, float]:
    program = "import sys; from benchmarks.load_generator import load; load(*sys.argv[1:])"
    command = [sys.executable, "-c", program, way, str(workdir)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json_format.loads(done.stdout)


def load(way: str, workdir: str) -> None:
    """What each process does: load in one of the ways, print seconds and megabytes as JSON."""
    import time

    started, before = time.perf_counter(), _bytes_read()
    if way == "state":
        _load_state(Path(workdir))
    else:
        from glcic_jax import load_generator

        load_generator(workdir)
    read = (_bytes_read() - before) / 1e6
    found = {"seconds": time.perf_counter() - started, "megabytes": read}
    print(json_format.dumps(found))


def _load_state(workdir: Path) -> Any:
    from glcic_jax.runtime.checkpoints import Checkpoints
    from glcic_jax.runtime.workdir import load_config
    from glcic_jax.training.state import abstract_train_state, generator_variables

    with Checkpoints(workdir, keep=1) as checkpoints:
        _, state = checkpoints.restore_for_use(abstract_train_state(load_config(workdir)))
    return generator_variables(state)


def _bytes_read() -> int:
    """By this process, of files of any kind; the code that it imports too. Linux only."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("rchar")))


if __name__ == "__main__":
    run(main)
