"""Where the time of an update step goes on this machine: by kind of operation, and the longest.

Runs the step as `train.py` does under JAX's profiler. Virtual devices work at the same time, so
times are those of one device. XLA's own convolutions run in threads of their own, which the
profiler does not see: they are what remains of a step.
"""

from __future__ import annotations

import collections
import dataclasses
import re
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.train_step import CASES, Case
from glcic_jax.commands.command_line import parse, run
from glcic_jax.config.settings import Phase
from glcic_jax.errors import UserError


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Time of each kind of operation in one phase's step."""

    case: Case = "32px"
    """Size to profile."""
    phase: Phase = "joint"
    """Phase to profile."""
    devices: int = 1
    """Virtual CPU devices that share the batch."""
    steps: int = 10
    """Steps to profile, after some for warm-up."""
    longest: int = 15
    """How many single operations to list."""
    json: Path | None = None
    """File to write every operation's time to."""


@dataclasses.dataclass(frozen=True)
class Operation:
    """An operation of the compiled step: its kind, the shape of its result, where it comes from."""

    kind: str
    shape: str
    origin: str


def main() -> None:
    """Profile, print tables, write JSON."""
    arguments = parse(Arguments, description=Arguments.__doc__)
    report.check_output(arguments.json)
    report.check_counts(arguments, "devices", "steps", "longest")
    import jax

    from glcic_jax.runtime import devices

    jax.config.update("jax_platforms", "cpu")
    devices.set_cpu_devices(arguments.devices)
    devices.check_batch(CASES[arguments.case].data.batch_size, devices.batch_mesh())
    step_seconds, seconds, operations = _profile(arguments)
    _publish(arguments, step_seconds, seconds, operations)
    record = [
        {"name": name, "seconds": value, **dataclasses.asdict(operations[name])}
        for name, value in seconds.most_common()
    ]
    report.write_json(arguments.json, {"step_seconds": step_seconds, "operations": record})


def _profile(arguments: Arguments) -> tuple[float, collections.Counter, dict[str, Operation]]:
    """Seconds of a step, of each operation in it on one device, and what the operations are."""
    import jax

    from benchmarks import stepping
    from benchmarks.photographs import training_crops
    from glcic_jax.runtime import devices

    config = CASES[arguments.case]
    crops = training_crops(config, 2 * config.data.batch_size)
    mesh, state, step = stepping.start(config, arguments.phase, stepping.mean_pixel(crops))
    images = devices.put_batch(mesh, crops[: config.data.batch_size])
    compiled = step.lower(state, images).compile()

    def steps(count: int) -> float:
        nonlocal state
        started = time.perf_counter()
        for _ in range(count):
            state, _ = compiled(state, images)
        jax.block_until_ready(state)
        return (time.perf_counter() - started) / count

    steps(3)
    with tempfile.TemporaryDirectory() as directory:
        with jax.profiler.trace(directory):
            step_seconds = steps(arguments.steps)
        traces = list(Path(directory).rglob("*.xplane.pb"))
        if not traces:
            raise UserError("JAX's profiler wrote no trace on this machine")
        seconds = _seconds_by_name(traces[0])
    shared = arguments.steps * arguments.devices
    seconds = collections.Counter({name: value / shared for name, value in seconds.items()})
    known = _operations(compiled.as_text())
    operations = {name: known.get(name) or Operation(_kind(name), "", "") for name in seconds}
    return step_seconds, seconds, operations


def _seconds_by_name(trace: Path) -> collections.Counter:
    """Seconds of each operation over all devices and steps of a trace."""
    import jax

    seconds: collections.Counter = collections.Counter()
    for plane in jax.profiler.ProfileData.from_file(str(trace)).planes:
        for line in plane.lines:
            for event in line.events:
                name = dict(event.stats).get("hlo_op")
                if name is not None:
                    seconds[name] += event.duration_ns / 1e9
    return seconds


_UNSEEN = "not seen: convolutions in threads of their own"
_KINDS = (
    ("convolution", "convolution"),
    ("all-reduce", "sum over devices"),
    ("dot", "matrix product"),
    ("transpose", "transposition"),
    ("copy", "copy"),
    ("reduce", "sum"),
    ("while", "loop"),
    ("fusion", "elementwise"),
)
"""What stands in an operation's name, the first that fits, and what the table calls it."""


def _operations(program: str) -> dict[str, Operation]:
    """Operations by name, read from the text of a compiled program."""
    found: dict[str, Any] = {}
    for line in program.splitlines():
        match = re.match(r"\s*(?:ROOT )?%?([\w.\-]+) = (\S+) ([\w\-]+)\(", line)
        if match:
            name, shape, _ = match.groups()
            origin = re.search(r'op_name="([^"]*)"', line)
            path = origin.group(1) if origin else ""
            kind = _kind(name)
            if kind == "elementwise" and "conv_general_dilated" in path:
                kind = "convolution"
            elif kind == "elementwise" and "dot_general" in path:
                kind = "matrix product"
            found[name] = Operation(kind, shape.split("{")[0], path)
    return found


def _kind(name: str) -> str:
    return next((title for text, title in _KINDS if text in name), "other")


def _publish(
    arguments: Arguments,
    step_seconds: float,
    seconds: collections.Counter,
    operations: dict[str, Operation],
) -> None:
    kinds: collections.Counter = collections.Counter()
    for name, value in seconds.items():
        kinds[operations[name].kind] += value
    rows = [*kinds.most_common(), (_UNSEEN, step_seconds - sum(kinds.values()))]
    report.publish(
        f"{arguments.case}, {arguments.phase} step on {arguments.devices} virtual device(s): "
        f"{step_seconds * 1e3:.0f} ms a step under the profiler",
        ("kind of operation", "ms a device", "share of the step"),
        [(kind, report.number(value * 1e3), f"{value / step_seconds:.0%}") for kind, value in rows],
    )
    report.publish(
        "Longest operations",
        ("operation", "ms a device", "result", "from"),
        [
            (
                name,
                report.number(value * 1e3),
                operations[name].shape,
                "/".join(operations[name].origin.split("/")[-3:]),
            )
            for name, value in seconds.most_common(arguments.longest)
        ],
    )


if __name__ == "__main__":
    run(main)
