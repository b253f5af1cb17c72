"""One image completed: `glcic_jax.inpaint_fn`, PyTorch over the whole image, OpenCV's Telea.

Both networks have the same weights, freshly initialised, which is all that speed depends on. Each
measurement is a process of its own, and the methods take turns. The first call of ours compiles.
`--device cuda` runs both networks on a GPU, in bfloat16 too; the image's way there and back counts.
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

from benchmarks import accelerators, report
from benchmarks.accelerators import Device
from benchmarks.extras import require_torch
from benchmarks.inpaint_case import METHODS, OURS, TELEA
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
    device: Device = "cpu"
    """cuda: the networks on a GPU."""
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
    limits = _gpu_limits() if arguments.device == "cuda" else _cpu_limits()
    variables = _variables(config)
    results: list[dict[str, Any]] = []
    for side in arguments.sizes:
        results += _measure(config, variables, side, arguments)
        # Again after each size: a run that is cut off leaves what it had.
        report.write_json(
            arguments.json, {"preset": arguments.preset} | limits | {"results": results}
        )
    _publish(results, config, limits, arguments.device)


def _cpu_limits() -> dict[str, Any]:
    """Keys as of `accelerators.describe`, but for the peaks, which are by library."""
    require_torch()
    import jax

    from benchmarks.work import peak_flops

    jax.config.update("jax_platforms", "cpu")
    return {"peak_flops": peak_flops()}


def _gpu_limits() -> dict[str, Any]:
    accelerators.require_cuda()
    accelerators.use_tensor_float_32()
    return accelerators.describe("cuda")


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
    """Every method's result at one size, in the order of `METHODS`; on a GPU one that fails has
    that for its result."""
    from benchmarks.inpaint_case import save_inputs
    from benchmarks.photographs import square_photograph

    hole = min(side // 2, _LARGEST_HOLE)
    start = (side - hole) // 2
    mask = np.zeros((side, side), bool)
    mask[start : start + hole, start : start + hole] = True
    methods = METHODS[arguments.device]
    records: dict[str, list[dict[str, Any]]] = {method: [] for method in methods}
    failures: dict[str, str] = {}
    completed: dict[str, np.ndarray] = {}
    with tempfile.TemporaryDirectory() as folder:
        inputs, output = Path(folder) / "inputs.npz", Path(folder) / "completed.npy"
        save_inputs(inputs, config, variables, square_photograph(side), mask)
        for number in range(arguments.rounds):
            turn = number % len(methods)
            for method in methods[turn:] + methods[:turn]:
                if method in failures:
                    continue
                try:
                    record = _run_case(method, inputs, output, arguments)
                except UserError as error:
                    if arguments.device == "cpu":
                        raise
                    failures[method] = str(error)
                    _tell(f"{side} px: {error}")
                    continue
                records[method].append(record)
                completed[method] = np.load(output)
                if arguments.device == "cuda":
                    _tell(f"{side} px: {method} {1e3 * min(record['later_seconds']):.3g} ms")
    heading = {"image_size": side, "hole": hole}
    return [
        {"method": method, **heading, "failed": failures[method]}
        if method in failures
        else {"method": method, **heading, **_summary(records[method])}
        | {"largest_difference": _difference(completed[method], completed.get(OURS))}
        for method in methods
    ]


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _run_case(method: str, inputs: Path, output: Path, arguments: Arguments) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.inpaint_case", "--method", method]
    command += ["--device", arguments.device, "--inputs", str(inputs), "--output", str(output)]
    command += ["--calls", str(arguments.calls), "--threads", str(report.cores())]
    environment = dict(os.environ)
    if arguments.device == "cpu" or method == TELEA:
        environment["JAX_PLATFORMS"] = "cpu"
    # A compiled program found in a cache would not be a first call.
    environment.pop("JAX_COMPILATION_CACHE_DIR", None)
    done = subprocess.run(
        command, cwd=_ROOT, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"status {done.returncode}"]
        raise UserError(f"{method} failed: {lines[-1]}")
    return json.loads(done.stdout)


def _difference(image: np.ndarray, other: np.ndarray | None) -> int | None:
    """The largest difference of a value, of 255; None without another."""
    return None if other is None else int(np.abs(image.astype(int) - other.astype(int)).max())


def _summary(records: list[dict[str, Any]]) -> dict[str, Any]:
    from benchmarks.timing import Spread

    peaks = [record["peak_bytes"] for record in records]
    added = [record["peak_bytes"] - record["bytes_before"] for record in records]
    later = [seconds for record in records for seconds in record["later_seconds"]]
    return {
        "first_seconds": dataclasses.asdict(
            Spread.of([record["first_seconds"] for record in records])
        ),
        "later_seconds": dataclasses.asdict(Spread.of(later)),
        "peak_bytes": dataclasses.asdict(Spread.of(peaks)),
        "added_bytes": dataclasses.asdict(Spread.of(added)),
        "samples": records,
    }


def _publish(
    results: list[dict[str, Any]], config: Config, limits: dict[str, Any], device: Device
) -> None:
    on_gpu = device == "cuda"
    peaks = limits["peak_flops"]
    if not on_gpu:
        peaks = {"float32": max(peaks.values())}
    ours = {
        result["image_size"]: result["later_seconds"]["median"]
        for result in results
        if result["method"] == OURS and "failed" not in result
    }
    rows = []
    for result in results:
        side = result["image_size"]
        cells = _cells(result, config, peaks, ours.get(side))
        if on_gpu:
            gpu_peaks = [sample["gpu_peak_bytes"] or 0 for sample in result.get("samples", [])]
            cells.append(report.number(max(gpu_peaks) * 1e-6) if any(gpu_peaks) else "")
        rows.append((f"{side} px, hole {result['hole']}", result["method"], *cells))
    shown = " and ".join(
        f"{peak / 1e9:.0f} GFLOP/s, the best large {dtype} matrix product"
        for dtype, peak in peaks.items()
    )
    where = f"one {limits['device']}" if on_gpu else f"{report.cores()} cores"
    report.publish(
        f"One image on {where}, network of width {config.model.width}: median (lowest..highest)",
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
            *(["peak of the GPU's, MB"] if on_gpu else []),
        ),
        rows,
        notes=(
            f"limit: the network's arithmetic over the whole image at {shown}; ours computes only "
            "what the hole can see",
            *([accelerators.PRECISION, "Telea runs on the CPU"] if on_gpu else []),
        ),
    )


def _cells(
    result: dict[str, Any], config: Config, peaks: dict[str, float], ours: float | None
) -> list[str]:
    """A row of the table behind its names; `ours`: seconds of our later calls, if there were any.

    `peaks` are the operations a second by type of numbers.
    """
    from benchmarks.timing import Spread
    from benchmarks.work import inference_flops

    if "failed" in result:
        return [result["failed"][:100], *[""] * 6]
    later = Spread(**result["later_seconds"])
    dtype = "bfloat16" if "bfloat16" in result["method"] else "float32"
    limit = inference_flops(config, result["image_size"]) / peaks[dtype]
    difference = result["largest_difference"]
    return [
        report.spread(Spread(**result["first_seconds"]), 1e3),
        report.spread(later, 1e3),
        report.number(later.median / ours) if ours else "",
        report.number(limit * 1e3) if result["method"] != TELEA else "",
        report.spread(Spread(**result["peak_bytes"]), 1e-6),
        report.spread(Spread(**result["added_bytes"]), 1e-6),
        "" if difference is None else str(difference),
    ]


if __name__ == "__main__":
    run(main)
