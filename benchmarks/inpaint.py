"""One image completed: `glcic_jax.inpaint_fn`, PyTorch over the whole image, OpenCV's Telea.

Both networks have the same weights, freshly initialised, which is all that speed depends on. Each
measurement is a process of its own, and the methods take turns. The first call of ours compiles.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import report
from benchmarks.extras import require_torch
from benchmarks.inpaint_case import METHODS
from glcic_jax.commands.command_line import parse, run
from glcic_jax.config.presets import preset
from glcic_jax.config.settings import Config
from glcic_jax.errors import UserError

_ROOT = Path(__file__).resolve().parent.parent
_LARGEST_HOLE = 128


@dataclasses.dataclass(frozen=True)
class Arguments:
    """One image completed: first call, later calls, peak memory, side by side."""

    sizes: tuple[int, ...] = (32, 256, 512, 1024)
    """Sides of the square images in pixels. The hole is half as wide, at most 128 pixels."""
    preset: str = "cifar100"
    """Preset whose completion network is measured."""
    rounds: int = 3
    """Processes for each method and size."""
    calls: int = 5
    """Later calls in each process."""
    json: Path | None = None
    """File to write all samples to."""


def main() -> None:
    """Measure, print a table, write JSON."""
    arguments = parse(Arguments, description=Arguments.__doc__)
    _check(arguments)
    config = preset(arguments.preset)
    require_torch()
    import jax

    from benchmarks.work import peak_flops

    jax.config.update("jax_platforms", "cpu")
    peaks = peak_flops()
    variables = _variables(config)
    results = []
    for side in arguments.sizes:
        results += _measure(config, variables, side, arguments)
    _publish(results, config, max(peaks.values()))
    report.write_json(
        arguments.json,
        {"preset": arguments.preset, "peak_flops": peaks, "results": results},
    )


def _check(arguments: Arguments) -> None:
    report.check_output(arguments.json)
    report.check_counts(arguments, "rounds", "calls")
    if not arguments.sizes or min(arguments.sizes) < 8:
        raise UserError("--sizes: give sides of at least 8 pixels")


def _variables(config: Config) -> dict[str, Any]:
    """The generator's variables, the last layer not zero as it starts, so that outputs tell."""
    import jax

    from glcic_jax.training.state import create_train_state, generator_variables

    create = jax.jit(create_train_state, static_argnums=1)
    state = create(jax.random.key(0), config, np.full(3, 0.5, np.float32))
    variables = jax.tree.map(np.asarray, generator_variables(state))
    output = variables["params"]["output"]
    kernel = 0.02 * np.random.default_rng(0).standard_normal(output["kernel"].shape)
    output["kernel"] = kernel.astype(np.float32)
    return variables


def _measure(
    config: Config, variables: dict[str, Any], side: int, arguments: Arguments
) -> list[dict[str, Any]]:
    """Every method's result at one size, in the order of `METHODS`."""
    from benchmarks.inpaint_case import save_inputs
    from benchmarks.photographs import square_photograph

    hole = min(side // 2, _LARGEST_HOLE)
    start = (side - hole) // 2
    mask = np.zeros((side, side), bool)
    mask[start : start + hole, start : start + hole] = True
    records: dict[str, list[dict[str, Any]]] = {method: [] for method in METHODS}
    completed: dict[str, np.ndarray] = {}
    with tempfile.TemporaryDirectory() as folder:
        inputs, output = Path(folder) / "inputs.npz", Path(folder) / "completed.npy"
        save_inputs(inputs, config, variables, square_photograph(side), mask)
        for number in range(arguments.rounds):
            turn = number % len(METHODS)
            for method in METHODS[turn:] + METHODS[:turn]:
                records[method].append(_run_case(method, inputs, output, arguments.calls))
                completed[method] = np.load(output)
    return [
        _summary(method, side, hole, records[method])
        | {"largest_difference": _difference(completed[method], completed[METHODS[0]])}
        for method in METHODS
    ]


def _run_case(method: str, inputs: Path, output: Path, calls: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.inpaint_case", "--method", method]
    command += ["--inputs", str(inputs), "--output", str(output)]
    command += ["--calls", str(calls), "--threads", str(report.cores())]
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    # A compiled program found in a cache would not be a first call.
    environment.pop("JAX_COMPILATION_CACHE_DIR", None)
    done = subprocess.run(
        command, cwd=_ROOT, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"status {done.returncode}"]
        raise UserError(f"{method} failed: {lines[-1]}")
    return json.loads(done.stdout)


def _difference(image: np.ndarray, other: np.ndarray) -> int:
    """The largest difference of a value, of 255."""
    return int(np.abs(image.astype(int) - other.astype(int)).max())


def _summary(method: str, side: int, hole: int, records: list[dict[str, Any]]) -> dict[str, Any]:
    from benchmarks.timing import Spread

    peaks = [record["peak_bytes"] for record in records]
    added = [record["peak_bytes"] - record["bytes_before"] for record in records]
    later = [seconds for record in records for seconds in record["later_seconds"]]
    return {
        "method": method,
        "image_size": side,
        "hole": hole,
        "first_seconds": dataclasses.asdict(
            Spread.of([record["first_seconds"] for record in records])
        ),
        "later_seconds": dataclasses.asdict(Spread.of(later)),
        "peak_bytes": dataclasses.asdict(Spread.of(peaks)),
        "added_bytes": dataclasses.asdict(Spread.of(added)),
        "samples": records,
    }


def _publish(results: list[dict[str, Any]], config: Config, peak: float) -> None:
    from benchmarks.timing import Spread
    from benchmarks.work import inference_flops

    ours = {
        result["image_size"]: result["later_seconds"]["median"]
        for result in results
        if result["method"] == METHODS[0]
    }
    rows = []
    for result in results:
        side, later = result["image_size"], Spread(**result["later_seconds"])
        network = result["method"] != "Telea"
        limit = inference_flops(config, side) / peak
        rows.append(
            (
                f"{side} px, hole {result['hole']}",
                result["method"],
                report.spread(Spread(**result["first_seconds"]), 1e3),
                report.spread(later, 1e3),
                report.number(later.median / ours[side]),
                report.number(limit * 1e3) if network else "",
                report.spread(Spread(**result["peak_bytes"]), 1e-6),
                report.spread(Spread(**result["added_bytes"]), 1e-6),
                str(result["largest_difference"]),
            )
        )
    report.publish(
        f"One image on {report.cores()} cores, network of width {config.model.width}: "
        "median (lowest..highest)",
        (
            "image",
            "method",
            "first call, ms",
            "later calls, ms",
            "times ours",
            "whole-image limit, ms",
            "peak memory, MB",
            "of it added by calls, MB",
            "differs from ours by, of 255",
        ),
        rows,
        notes=(
            f"limit: the network's arithmetic over the whole image at {peak / 1e9:.0f} GFLOP/s, "
            "the best large float32 matrix product; ours computes only what the hole can see",
        ),
    )


if __name__ == "__main__":
    run(main)
