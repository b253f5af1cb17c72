"""Compile update steps for TPUs on a machine that has none, and read what the compiler says.

The shardings name devices of a TPU topology, so programs are lowered for TPUs: the operators that
are chosen per platform come in their TPU form. `compile_apart` does it in a process of its own,
because the compiler can crash and would take this one with it.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from typing import Any, cast

import jax
import jax.numpy as jnp
from jax.experimental import topologies
from jax.sharding import Mesh

from glcic_jax.config.saved import from_json, to_json
from glcic_jax.config.settings import Config, Phase
from glcic_jax.errors import UserError
from glcic_jax.runtime import devices
from glcic_jax.training.loop import compile_step
from glcic_jax.training.recipe import build_recipe
from glcic_jax.training.state import abstract_train_state

_COLLECTIVES = (
    "all-reduce",
    "all-gather",
    "all-to-all",
    "reduce-scatter",
    "collective-permute",
)


_PROGRAM, _DOES_NOT_FIT = "program", "does not fit"


@dataclasses.dataclass(frozen=True)
class Chip:
    """Peaks of one chip. A float32 convolution runs at the bfloat16 peak at default precision."""

    flops: float
    """bfloat16 operations a second."""
    bandwidth: float
    """Bytes a second from HBM."""
    memory: float
    """Bytes of HBM."""


# Google Cloud's documentation of each TPU version ("TPU v5e", "TPU v5p", "TPU v6e"), table "key
# chip specifications". Versions whose chips count as two devices are not listed.
CHIPS = {
    "v5e": Chip(197e12, 819e9, 16e9),
    "v5p": Chip(459e12, 2765e9, 95e9),
    "v6e": Chip(918e12, 1640e9, 32e9),
}


@dataclasses.dataclass(frozen=True)
class Program:
    """One compiled step, for one chip.

    Attributes:
        images: of the batch, on this chip.
        memory: bytes of HBM while it runs: state, images, temporary values.
        flops: operations of a step.
        bytes_moved: bytes that its operations read and write, as the compiler counts them.
        collectives: how many of each kind, by name.
    """

    images: int
    memory: int
    flops: float
    bytes_moved: float
    collectives: dict[str, int]

    def seconds(self, chip: Chip) -> tuple[float, float]:
        """The least that a step takes by arithmetic, and by memory traffic."""
        return self.flops / chip.flops, self.bytes_moved / chip.bandwidth


class DoesNotFit(Exception):
    """The program needs more memory than a chip has."""


class CompilerCrash(Exception):
    """The compiler ended its process."""


def quiet_libtpu() -> None:
    """Keep the compiler from asking the network for a TPU and from logging that there is none.

    Several processes may compile at a time; without a TPU there is nothing that they could share.
    """
    os.environ.setdefault("ALLOW_MULTIPLE_LIBTPU_LOAD", "1")
    os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")
    os.environ.setdefault("TPU_ACCELERATOR_TYPE", "v5litepod-4")
    os.environ.setdefault("TPU_WORKER_HOSTNAMES", "localhost")
    os.environ.setdefault("TPU_WORKER_ID", "0")


def chip_of(topology: str) -> Chip:
    """The chip of a topology such as "v5e:2x4".

    Raises:
        UserError: its peaks are not known here.
    """
    version = topology.split(":")[0]
    if version not in CHIPS:
        raise UserError(
            f"--topology {topology}: known are {', '.join(CHIPS)}, written like v5e:2x4"
        )
    return CHIPS[version]


def topology_mesh(topology: str) -> Mesh:
    """All devices of a topology on the batch axis.

    Raises:
        UserError: there is no such topology.
    """
    chip_of(topology)
    quiet_libtpu()
    try:
        description = topologies.get_topology_desc(platform="tpu", topology_name=topology)
    except Exception as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"--topology {topology}: there is no such TPU topology ({reason})"
        ) from None
    return devices.batch_mesh(list(description.devices))


def compile_for_tpu(config: Config, phase: Phase, mesh: Mesh, *, quick: bool = False) -> Program:
    """Compile one phase's step, with streamed images, and read what it needs.

    Args:
        config: decides networks, losses and batch size.
        phase: completion, discriminator or joint.
        mesh: of a TPU topology.
        quick: spend less effort: several times faster to compile, and needs more memory.

    Raises:
        UserError: the batch can't be shared over the devices.
        DoesNotFit: it needs more memory than a chip has.
    """
    lowered = lower_for_tpu(config, phase, mesh)
    options: dict[str, Any] = {"exec_time_optimization_effort": -1.0} if quick else {}
    try:
        compiled = lowered.compile(compiler_options=options)
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" in str(error):
            raise DoesNotFit(str(error).splitlines()[0]) from error
        raise
    memory: Any = compiled.memory_analysis()
    cost: Any = compiled.cost_analysis()
    return Program(
        images=config.data.batch_size // mesh.size,
        memory=memory.argument_size_in_bytes
        + memory.output_size_in_bytes
        - memory.alias_size_in_bytes
        + memory.temp_size_in_bytes
        + memory.generated_code_size_in_bytes,
        flops=cost["flops"],
        bytes_moved=cost["bytes accessed"],
        collectives=count_collectives(compiled.as_text() or ""),
    )


def compile_apart(config: Config, phase: Phase, topology: str, *, quick: bool = False) -> Program:
    """As `compile_for_tpu`, in a process of its own; `topology` such as "v5e:2x4".

    Raises:
        UserError: as `compile_for_tpu`.
        DoesNotFit: it needs more memory than a chip has.
        CompilerCrash: says by which signal or with which last words the process ended.
    """
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "benchmarks.tpu_compile",
            topology,
            phase,
            "quick" if quick else "full",
        ],
        input=to_json(config),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode < 0:
        raise CompilerCrash(f"the compiler crashed ({signal.Signals(-done.returncode).name})")
    lines = done.stdout.splitlines()
    if done.returncode or not lines:
        raise CompilerCrash((done.stderr.strip().splitlines() or ["no answer"])[-1])
    kind, content = json.loads(lines[-1])
    if kind == _DOES_NOT_FIT:
        raise DoesNotFit(content)
    return Program(**content)


def _answer(topology: str, phase: Phase, effort: str) -> None:
    """The other side of `compile_apart`: settings on stdin, the program as JSON on stdout."""
    config = from_json(sys.stdin.read())
    jax.config.update("jax_platforms", "cpu")
    mesh = topology_mesh(topology)
    answer: tuple[str, Any]
    try:
        program = compile_for_tpu(config, phase, mesh, quick=effort == "quick")
        answer = (_PROGRAM, dataclasses.asdict(program))
    except DoesNotFit as error:
        answer = (_DOES_NOT_FIT, str(error))
    print(json.dumps(answer))


def lower_for_tpu(config: Config, phase: Phase, mesh: Mesh) -> jax.stages.Lowered:
    """One phase's step, traced and lowered for the devices of `mesh`."""
    devices.check_batch(config.data.batch_size, mesh)
    state = abstract_train_state(config, devices.replicated(mesh))
    images = jax.ShapeDtypeStruct(
        (config.data.batch_size, config.image_size, config.image_size, 3),
        jnp.uint8,
        sharding=devices.batch_sharded(mesh),
    )
    step: Any = compile_step(build_recipe(config), phase, mesh)
    return step.lower(state, images)


def count_collectives(program: str) -> dict[str, int]:
    """Collective operations in a compiled program's text, by kind; an asynchronous pair is one."""
    found = re.findall(rf" ({'|'.join(_COLLECTIVES)})(?:-start)?\(", program)
    return dict(Counter(found))


if __name__ == "__main__":
    _answer(sys.argv[1], cast(Phase, sys.argv[2]), sys.argv[3])
