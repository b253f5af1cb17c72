"""What every preset's steps would need and could reach on TPUs, without a TPU.

Each step is compiled ahead of time for whole TPU slices. From the compiled program come memory,
arithmetic and memory traffic; from the chip's peaks the roofline: the most images a second that
arithmetic allows and that memory traffic allows, of which the smaller is the limit.
"""

from __future__ import annotations

import dataclasses
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import tyro

from benchmarks import report
from benchmarks.accelerators import Dtype
from benchmarks.extras import require_libtpu
from glcic_jax.commands.command_line import parse, run
from glcic_jax.config.presets import PRESETS, preset
from glcic_jax.config.settings import Config, Phase
from glcic_jax.errors import UserError

if TYPE_CHECKING:
    from jax.sharding import Mesh

    from benchmarks.tpu_compile import Program

_PHASES: tuple[Phase, ...] = get_args(Phase)
_TOPOLOGIES = ("v5e:2x4", "v6e:2x4", "v5p:2x4x4")


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Compile every preset's steps for TPU slices; no TPU is needed."""

    topology: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """TPU slice such as v5e:2x4; repeatable. Without any: v5e:2x4, v6e:2x4, v5p:2x4x4."""
    preset: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """Preset to compile; repeatable. Without any: all."""
    phases: tuple[Phase, ...] = _PHASES
    """Phases to compile."""
    bfloat16: tuple[str, ...] = ("paper",)
    """Presets to compile a second time, with model.compute-dtype bfloat16."""
    batch_size: int = 0
    """Images a step over the whole slice; 0 takes the preset's."""
    largest_batch: bool = False
    """Also double the batch until a step no longer fits; compiles each step several times."""
    quick: bool = False
    """Compile with less effort, several times faster; overstates memory and memory traffic."""
    jobs: int = 0
    """Programs compiled at a time; 0 is one for each core."""
    json: Path | None = None
    """File to write everything to."""


@dataclasses.dataclass(frozen=True)
class _Job:
    """One step to compile."""

    topology: str
    mesh: Mesh
    name: str
    config: Config
    phase: Phase


def main() -> None:
    """Compile, print a table, write JSON."""
    arguments = parse(Arguments, description=Arguments.__doc__)
    report.check_output(arguments.json)
    variants = _variants(arguments)
    require_libtpu()
    from benchmarks.tpu_compile import quiet_libtpu, topology_mesh

    quiet_libtpu()
    import jax

    jax.config.update("jax_platforms", "cpu")
    names = arguments.topology or _TOPOLOGIES
    meshes = {name: topology_mesh(name) for name in names}
    jobs = [
        _Job(topology, mesh, name, config, phase)
        for topology, mesh in meshes.items()
        for name, config in variants.items()
        for phase in arguments.phases
    ]
    _check_batches(jobs)
    with ThreadPoolExecutor(arguments.jobs or report.cores()) as pool:
        results = list(pool.map(lambda job: _compile(job, arguments), jobs))
    _publish(results)
    report.write_json(arguments.json, {"quick": arguments.quick, "results": results})


def _variants(arguments: Arguments) -> dict[str, Config]:
    """Configurations by the name that the table gives them."""
    chosen = {
        name: _in_type(preset(name), "float32") for name in arguments.preset or tuple(PRESETS)
    }
    if arguments.batch_size:
        for name, config in chosen.items():
            data = dataclasses.replace(config.data, batch_size=arguments.batch_size)
            chosen[name] = dataclasses.replace(config, data=data)
    variants = dict(chosen)
    for name in arguments.bfloat16:
        preset(name)  # complains of a name that does not exist
        if name in chosen:
            variants[f"{name} bfloat16"] = _in_type(chosen[name], "bfloat16")
    return variants


def _in_type(config: Config, dtype: Dtype) -> Config:
    model = dataclasses.replace(config.model, compute_dtype=dtype)
    return dataclasses.replace(config, model=model)


def _check_batches(jobs: list[_Job]) -> None:
    for job in jobs:
        if job.config.data.batch_size % job.mesh.size:
            raise UserError(
                f"{job.name}: a batch of {job.config.data.batch_size} does not divide by the "
                f"{job.mesh.size} chips of {job.topology}; set --batch-size"
            )


def _compile(job: _Job, arguments: Arguments) -> dict[str, Any]:
    from benchmarks.tpu_compile import CompilerCrash, DoesNotFit, chip_of, compile_apart

    chip = chip_of(job.topology)
    result: dict[str, Any] = {
        "topology": job.topology,
        "chips": job.mesh.size,
        "preset": job.name,
        "phase": job.phase,
        "batch_size": job.config.data.batch_size,
    }
    started = time.perf_counter()
    try:
        program = compile_apart(job.config, job.phase, job.topology, quick=arguments.quick)
    except DoesNotFit as error:
        return result | {"fits": False, "failure": "does not fit", "reason": str(error)}
    except CompilerCrash as error:
        return result | {"fits": None, "failure": str(error), "reason": str(error)}
    result |= {"compile_seconds": time.perf_counter() - started, "fits": True}
    arithmetic, traffic = program.seconds(chip)
    result |= {
        "memory_per_chip": program.memory,
        "memory_share": program.memory / chip.memory,
        "flops_per_image": program.flops / program.images,
        "bytes_per_image": program.bytes_moved / program.images,
        "images_per_second_by_arithmetic": result["batch_size"] / arithmetic,
        "images_per_second_by_traffic": result["batch_size"] / traffic,
        "bound": "arithmetic" if arithmetic > traffic else "memory traffic",
        "collectives": program.collectives,
    }
    if arguments.largest_batch:
        result["largest_batch"] = _largest_batch(job, program, arguments.quick)
    return result


def _largest_batch(job: _Job, program: Program, quick: bool) -> int:
    """Images over the whole slice: the preset's batch, doubled as often as it compiles and fits."""
    from benchmarks.tpu_compile import CompilerCrash, DoesNotFit, chip_of, compile_apart

    memory = chip_of(job.topology).memory
    batch = job.config.data.batch_size
    while program.memory <= memory:
        data = dataclasses.replace(job.config.data, batch_size=2 * batch)
        config = dataclasses.replace(job.config, data=data)
        try:
            program = compile_apart(config, job.phase, job.topology, quick=quick)
        except (DoesNotFit, CompilerCrash):
            return batch
        if program.memory <= memory:
            batch *= 2
    return batch


def _publish(results: list[dict[str, Any]]) -> None:
    rows = []
    for result in results:
        name = f"{result['topology']}, {result['preset']}, batch {result['batch_size']}"
        if not result["fits"]:
            rows.append((name, result["phase"], result["failure"], *[""] * 6))
            continue
        walls = [
            result["images_per_second_by_arithmetic"],
            result["images_per_second_by_traffic"],
        ]
        collectives = ", ".join(f"{count} {kind}" for kind, count in result["collectives"].items())
        rows.append(
            (
                name,
                result["phase"],
                f"{result['memory_per_chip'] / 1e9:.2f} GB ({result['memory_share']:.0%})",
                f"{result['flops_per_image'] / 1e9:.3g}",
                f"{result['bytes_per_image'] / 1e6:.3g}",
                report.number(min(walls)),
                result["bound"],
                collectives or "none",
                report.number(result.get("largest_batch", 0)) if "largest_batch" in result else "",
            )
        )
    report.publish(
        "Update steps compiled for TPU slices",
        (
            "slice, preset",
            "phase",
            "memory a chip",
            "GFLOP an image",
            "MB an image",
            "limit images/s",
            "bound by",
            "collectives",
            "largest batch",
        ),
        rows,
        notes=(
            "limit: of the whole slice, by the chips' peak bfloat16 arithmetic and HBM bandwidth; "
            "the bytes are the compiler's count of what its operations read and write",
        ),
    )


if __name__ == "__main__":
    run(main)
