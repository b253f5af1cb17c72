"""`benchmarks.train_step --device cuda`: our step and PyTorch's on the same GPU.

The contenders run one after the other, so that none holds memory that the next one needs. What is
measured is told and written at once: a run that is cut off leaves what it had.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks import accelerators, report
from benchmarks.accelerators import Device
from benchmarks.gpu_contenders import CONTENDERS, Contender
from benchmarks.timing import Spread, alternate
from benchmarks.work import step_flops
from glcic_jax.config.settings import Config, Phase

if TYPE_CHECKING:
    from benchmarks.train_step import Contender as Key

_RESIDENT_BATCHES = 8


@dataclasses.dataclass(frozen=True)
class Plan:
    """What to measure.

    Attributes:
        configs: by the name of the case.
        phases: of each.
        contenders: keys of `CONTENDERS`.
        rounds: turns of each contender.
        seconds: the least that a turn should last.
        json: file to write to; None for none.
    """

    configs: Mapping[str, Config]
    phases: Sequence[Phase]
    contenders: Sequence[Key]
    rounds: int
    seconds: float
    json: Path | None


def measure_all(plan: Plan, device: Device = "cuda") -> None:
    """Measure, tell each result as it comes, print a table, write JSON.

    `device` cpu is for a rehearsal: it needs no GPU.
    """
    if device == "cuda":
        accelerators.use_tensor_float_32()
    limits = accelerators.describe(device)
    _tell(_describe(limits))
    results: list[dict[str, Any]] = []
    for name, config in plan.configs.items():
        crops = _crops(config)
        for phase in plan.phases:
            result = _heading(name, config, phase)
            results.append(result)
            for key in plan.contenders:
                contender = CONTENDERS[key]
                record = measure(contender, config, phase, crops, device, plan)
                record |= _shares(record, contender, result, limits)
                result["contenders"][contender.name] = record
                _tell(f"{name} {phase} {contender.name}: {_summary(record)}")
                report.write_json(plan.json, limits | {"results": results})
    _publish(results, limits)


def measure(
    contender: Contender,
    config: Config,
    phase: Phase,
    crops_NxSxSx3: np.ndarray,
    device: Device,
    plan: Plan,
) -> dict[str, Any]:
    """One contender's samples, its images a second (see `Spread`) and bytes of a step.

    Whatever goes wrong is its result, `{"failed": ...}`, and the others' turns come.
    """
    model = dataclasses.replace(config.model, compute_dtype=contender.dtype)
    config = dataclasses.replace(config, model=model)
    try:
        prepared = contender.prepare(config, phase, crops_NxSxSx3, device)
        samples = alternate(
            {contender.name: prepared.run}, rounds=plan.rounds, seconds=plan.seconds
        )[contender.name]
        record = {
            "samples": samples.record(),
            "steps_of_call": prepared.steps,
            "bytes_of_step": _or_none(prepared.bytes_of_step),
            **dataclasses.asdict(samples.rate(config.data.batch_size * prepared.steps)),
        }
        del prepared
    except Exception as error:  # of either library: out of memory, a compiler's
        record = {"failed": _first_line(error)}
    accelerators.free_memory(device)
    return record


def _crops(config: Config) -> np.ndarray:
    """uint8 image_NxSxSx3: real ones, repeated where there are too few."""
    from benchmarks.photographs import training_crops

    count = _RESIDENT_BATCHES * config.data.batch_size
    crops = training_crops(config, count)
    return np.resize(crops, (count, *crops.shape[1:]))


def _heading(name: str, config: Config, phase: Phase) -> dict[str, Any]:
    return {
        "case": name,
        "phase": phase,
        "image_size": config.image_size,
        "width": config.model.width,
        "batch_size": config.data.batch_size,
        "flops_per_image": step_flops(config, phase),
        "contenders": {},
    }


def _shares(
    record: dict[str, Any], contender: Contender, result: dict[str, Any], limits: dict[str, Any]
) -> dict[str, Any]:
    """Shares of the card's arithmetic and of its memory's bandwidth, where they are known."""
    if "failed" in record:
        return {}
    flops = record["median"] * result["flops_per_image"]
    shares = {"share_of_peak": flops / limits["peak_flops"][contender.dtype]}
    if record["bytes_of_step"] is not None:
        moved = record["median"] / result["batch_size"] * record["bytes_of_step"]
        shares["share_of_bandwidth"] = moved / limits["bandwidth"]
    return shares


def _publish(results: list[dict[str, Any]], limits: dict[str, Any]) -> None:
    rows = []
    for result in results:
        case = f"{result['case']}, width {result['width']}, batch {result['batch_size']}"
        for name, record in result["contenders"].items():
            rows.append((case, result["phase"], name, *_cells(record, result["batch_size"])))
    report.publish(
        f"Update step on one {limits['device']}: median (lowest..highest)",
        (
            "case",
            "phase",
            "program",
            "images/s",
            "ms a step",
            "of peak",
            "of bandwidth",
            "first call, s",
        ),
        rows,
        notes=(
            _describe(limits),
            "of peak: the arithmetic of convolutions and dense layers alone, against the best "
            "large product of the same type",
            "of bandwidth: bytes accessed as XLA counts them in the compiled step, where it knows "
            "them, against the best large copy; a convolution by cuDNN may count for nothing",
            accelerators.PRECISION,
            "PyTorch bfloat16: autocast, both networks through torch.compile; losses and "
            "optimizers eager and float32",
        ),
    )


def _cells(record: dict[str, Any], batch_size: int) -> tuple[str, ...]:
    if "failed" in record:
        return (f"failed: {record['failed']}", "", "", "", "")
    bandwidth = record.get("share_of_bandwidth")
    return (
        report.spread(_rate(record)),
        report.number(1e3 * batch_size / record["median"]),
        f"{record['share_of_peak']:.1%}",
        "" if bandwidth is None else f"{bandwidth:.1%}",
        report.number(record["samples"]["first_seconds"]),
    )


def _summary(record: dict[str, Any]) -> str:
    if "failed" in record:
        return f"failed: {record['failed']}"
    first = report.number(record["samples"]["first_seconds"])
    return f"{report.spread(_rate(record))} images/s, first call {first} s"


def _rate(record: dict[str, Any]) -> Spread:
    return Spread(**{field.name: record[field.name] for field in dataclasses.fields(Spread)})


def _describe(limits: dict[str, Any]) -> str:
    peaks = ", ".join(
        f"{dtype} {flops / 1e12:.3g} TFLOP/s" for dtype, flops in limits["peak_flops"].items()
    )
    return f"{limits['device']}, measured: {peaks}, memory {limits['bandwidth'] / 1e9:,.0f} GB/s"


def _or_none(count: Callable[[], float | None]) -> float | None:
    """A count that nothing else depends on."""
    try:
        return count()
    except Exception as error:
        _tell(f"no bytes: {_first_line(error)}")
        return None


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0]}"[:200]


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
