"""Images a second of each phase's update step, against the same mathematics in PyTorch.

Our step runs as `train.py` runs it: compiled, its state donated, the batch shared over virtual CPU
devices, the images resident and drawn by index. PyTorch runs eager on all cores. Both draw from the
same real photographs, and take turns. `--device cuda` compares more ways to do it on one GPU, see
`benchmarks.gpu_train_step`.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from benchmarks import report
from benchmarks.accelerators import Device, require_cuda
from benchmarks.extras import require_torch
from glcic_jax.commands.command_line import parse, run
from glcic_jax.config.checks import check
from glcic_jax.config.presets import preset
from glcic_jax.config.settings import Config, DataConfig, Phase
from glcic_jax.errors import UserError

if TYPE_CHECKING:
    from benchmarks.timing import Run, Samples

_PHASES: tuple[Phase, ...] = get_args(Phase)
_RESIDENT_BATCHES = 8
_OURS, _THEIRS = "glcic_jax", "PyTorch"


def _case(name: str, image_size: int, batch_size: int) -> Config:
    return dataclasses.replace(
        preset(name), image_size=image_size, data=DataConfig(batch_size=batch_size)
    )


Case = Literal["32px", "32px-wide", "64px", "256px"]
CASES: dict[Case, Config] = {
    "32px": _case("cifar100", 32, 64),
    "32px-wide": _case("study", 32, 64),
    "64px": _case("cifar100", 64, 64),
    "256px": _case("paper", 256, 4),
}
"""32px: preset cifar100, GLCIC of width 32. 32px-wide: plain GLCIC of width 64, two logits. 64px:
the first at twice the size. 256px: the paper's networks with a small batch."""
_GPU_BATCHES: dict[Case, int] = {"32px": 512, "32px-wide": 512, "64px": 256, "256px": 48}
Contender = Literal["float32", "bfloat16", "scanned", "pytorch", "pytorch-compiled"]
"""Keys of `gpu_contenders.CONTENDERS`, which is imported later: it starts JAX."""


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Images a second of every phase's step, side by side with PyTorch."""

    cases: tuple[Case, ...] = get_args(Case)
    """Sizes to measure."""
    phases: tuple[Phase, ...] = _PHASES
    """Phases to measure."""
    batch_size: int = 0
    """Images a step; 0 takes each case's own, which is larger on a GPU."""
    device: Device = "cpu"
    """cuda: both on one GPU."""
    contenders: tuple[Contender, ...] = get_args(Contender)
    """On a GPU, what to measure. The first three are ours, scanned being many steps a call."""
    devices: int = 1
    """Virtual CPU devices that share our batch, as loop.cpu-devices of a run."""
    rounds: int = 7
    """Turns of each side."""
    seconds: float = 2.0
    """Least length of a turn."""
    json: Path | None = None
    """File to write all samples to."""


def main() -> None:
    """Measure, print a table, write JSON."""
    arguments = parse(Arguments, description=Arguments.__doc__)
    report.check_output(arguments.json)
    report.check_counts(arguments, "devices", "rounds")
    if arguments.device == "cuda":
        _compare_on_gpu(arguments)
    else:
        _compare_on_cpu(arguments)


def _compare_on_gpu(arguments: Arguments) -> None:
    if arguments.devices != 1:
        raise UserError("--devices are virtual ones of a CPU; --device cuda uses one GPU")
    configs: dict[str, Config] = {
        name: _configured(name, arguments.batch_size or _GPU_BATCHES[name])
        for name in arguments.cases
    }
    require_cuda()
    from benchmarks.gpu_train_step import Plan, measure_all

    plan = Plan(
        configs,
        arguments.phases,
        arguments.contenders,
        arguments.rounds,
        arguments.seconds,
        arguments.json,
    )
    measure_all(plan)


def _compare_on_cpu(arguments: Arguments) -> None:
    if arguments.contenders != get_args(Contender):
        raise UserError("--contenders are those of --device cuda; a CPU has two, which take turns")
    require_torch()
    configs = {name: _configured(name, arguments.batch_size) for name in arguments.cases}
    import jax

    from glcic_jax.runtime import devices

    # An accelerator against PyTorch on the CPU would compare machines, not programs.
    jax.config.update("jax_platforms", "cpu")
    devices.set_cpu_devices(arguments.devices)
    for config in configs.values():
        devices.check_batch(config.data.batch_size, devices.batch_mesh())
    from benchmarks.work import peak_flops

    peaks = peak_flops()
    results = [
        _measure(name, config, phase, arguments) | {"peak_flops": max(peaks.values())}
        for name, config in configs.items()
        for phase in arguments.phases
    ]
    _publish(results, peaks)
    report.write_json(arguments.json, {"peak_flops": peaks, "results": results})


def _configured(name: Case, batch_size: int) -> Config:
    config = CASES[name]
    if batch_size:
        data = dataclasses.replace(config.data, batch_size=batch_size)
        config = dataclasses.replace(config, data=data)
    check(config)
    return config


def _measure(name: str, config: Config, phase: Phase, arguments: Arguments) -> dict[str, Any]:
    """Both sides' samples of one phase."""
    from benchmarks.photographs import training_crops
    from benchmarks.timing import alternate
    from benchmarks.work import step_flops

    crops = training_crops(config, _RESIDENT_BATCHES * config.data.batch_size)
    contenders = {
        _OURS: _our_run(config, phase, crops),
        _THEIRS: _their_run(config, phase, crops),
    }
    samples = alternate(contenders, rounds=arguments.rounds, seconds=arguments.seconds)
    return {
        "case": name,
        "phase": phase,
        "image_size": config.image_size,
        "width": config.model.width,
        "batch_size": config.data.batch_size,
        "devices": arguments.devices,
        "flops_per_image": step_flops(config, phase),
        "samples": {side: sample.record() for side, sample in samples.items()},
        **{side: _rates(sample, config) for side, sample in samples.items()},
    }


def _rates(samples: Samples, config: Config) -> dict[str, Any]:
    return dataclasses.asdict(samples.rate(config.data.batch_size))


def _our_run(config: Config, phase: Phase, crops: np.ndarray) -> Run:
    from benchmarks.gpu_contenders import prepare_ours

    return prepare_ours(config, phase, crops, "cpu").run


def _their_run(config: Config, phase: Phase, crops: np.ndarray) -> Run:
    import torch

    from benchmarks.gpu_contenders import prepare_pytorch

    torch.set_num_threads(report.cores())
    return prepare_pytorch(config, phase, crops, "cpu").run


def _publish(results: list[dict[str, Any]], peaks: dict[str, float]) -> None:
    from benchmarks.timing import Spread

    rows = []
    for result in results:
        ours, theirs = Spread(**result[_OURS]), Spread(**result[_THEIRS])
        limit = result["peak_flops"] / result["flops_per_image"]
        rows.append(
            (
                f"{result['case']}, width {result['width']}, batch {result['batch_size']}",
                result["phase"],
                report.spread(ours),
                report.spread(theirs),
                report.number(ours.median / theirs.median),
                report.number(limit),
                f"{ours.median / limit:.0%}",
                f"{theirs.median / limit:.0%}",
            )
        )
    columns = ("case", "phase", f"{_OURS} images/s", f"{_THEIRS} images/s", "ratio")
    busy = max(s["busy_before"] for result in results for s in result["samples"].values())
    shown = ", ".join(f"{name} {peak / 1e9:.0f}" for name, peak in peaks.items())
    report.publish(
        f"Update step on {report.cores()} cores: median (lowest..highest)",
        (*columns, "limit images/s", f"{_OURS} of limit", f"{_THEIRS} of limit"),
        rows,
        notes=(
            f"limit: the best large float32 matrix product, in GFLOP/s: {shown}; divided by the "
            "arithmetic of convolutions and dense layers alone",
            f"CPU time used in the pause before a turn, at most: {busy:.0%} of one core",
        ),
    )


if __name__ == "__main__":
    run(main)
