"""The ways to take training steps that `benchmarks.train_step --device cuda` compares.

All keep the images on the device, so that only indices travel, and none waits for the device
within a run. On a CPU the first of ours and of PyTorch's are the two sides of the comparison there.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from benchmarks import accelerators, stepping
from benchmarks.accelerators import Device, Dtype
from benchmarks.timing import Run
from glcic_jax.config.settings import Config, Phase
from glcic_jax.runtime import devices
from glcic_jax.training.images import resident_images
from glcic_jax.training.recipe import Recipe, build_recipe
from glcic_jax.training.steps import STEPS

if TYPE_CHECKING:
    from benchmarks.train_step import Contender as Key

SCANNED_STEPS = 32


class Prepared(NamedTuple):
    """What can be timed.

    Attributes:
        run: makes so many calls.
        steps: update steps of each call.
        bytes_of_step: bytes of memory that a step reads and writes, as the compiler counts them;
            None where nobody does. Ask after a run.
    """

    run: Run
    steps: int = 1
    bytes_of_step: Callable[[], float | None] = lambda: None


class Prepare(Protocol):
    """Builds a contender from a configuration, whose compute type it follows, and its images."""

    def __call__(
        self, config: Config, phase: Phase, crops_NxSxSx3: np.ndarray, device: Device
    ) -> Prepared: ...


@dataclasses.dataclass(frozen=True)
class Contender:
    """One way to take steps: its name in the table, its type of numbers, how it is built."""

    name: str
    dtype: Dtype
    prepare: Prepare


def prepare_ours(
    config: Config, phase: Phase, crops_NxSxSx3: np.ndarray, device: Device
) -> Prepared:
    """A call a step, as `train.py` takes them; uint8 images on the device."""
    mesh, state, step = stepping.start(
        config, phase, stepping.mean_pixel(crops_NxSxSx3), crops_NxSxSx3, _mesh(device)
    )
    batches = stepping.shuffled_batches(len(crops_NxSxSx3), config.data.batch_size)

    def run(count: int) -> None:
        nonlocal state
        terms: Any = None
        for _ in range(count):
            state, terms = step(state, devices.put_batch(mesh, next(batches)))
        jax.block_until_ready((state, terms))

    def bytes_of_step() -> float | None:
        batch = devices.put_batch(mesh, next(batches))
        return _bytes_accessed(step, state, batch)

    return Prepared(run, 1, bytes_of_step)


def prepare_scanned(
    config: Config,
    phase: Phase,
    crops_NxSxSx3: np.ndarray,
    device: Device,
    steps: int = SCANNED_STEPS,
) -> Prepared:
    """`steps` steps a call, so that Python is asked for little; otherwise as `prepare_ours`."""
    mean = stepping.mean_pixel(crops_NxSxSx3)
    mesh, state, _ = stepping.start(config, phase, mean, mesh=_mesh(device))
    take_steps = scan_steps(build_recipe(config), phase, mesh)
    resident = devices.put_replicated(mesh, crops_NxSxSx3)
    batches = stepping.shuffled_batches(len(crops_NxSxSx3), config.data.batch_size)
    shared = NamedSharding(mesh, PartitionSpec(None, devices.BATCH_AXIS))

    def run(count: int) -> None:
        nonlocal state
        terms: Any = None
        for _ in range(count):
            index_KxB = np.stack([next(batches) for _ in range(steps)])
            state, terms = take_steps(state, jax.device_put(index_KxB, shared), resident)
        jax.block_until_ready((state, terms))

    return Prepared(run, steps)


def scan_steps(recipe: Recipe, phase: Phase, mesh: Mesh) -> Callable:
    """A compiled function that takes many steps, as `compile_step`'s takes one.

    Returns:
        From the state, which it donates, int32 index_KxB into the images, and the images, uint8
        image_NxSxSx3 on all devices, to the state after K steps and the K steps' terms.
    """
    update = functools.partial(STEPS[phase], recipe)

    def take_steps(state: Any, index_KxB: jax.Array, resident: jax.Array) -> Any:
        def step(state: Any, index_B: jax.Array) -> Any:
            images = resident_images(recipe.config, state, resident, index_B)
            images = jax.lax.with_sharding_constraint(images, devices.batch_sharded(mesh))
            return update(state, images)

        return jax.lax.scan(step, state, index_KxB)

    return jax.jit(
        take_steps,
        donate_argnums=0,
        out_shardings=devices.replicated(mesh),
        compiler_options=devices.compiler_options(mesh.devices.flat[0].platform),
    )


def prepare_pytorch(
    config: Config,
    phase: Phase,
    crops_NxSxSx3: np.ndarray,
    device: Device,
    compiled: bool = False,
) -> Prepared:
    """PyTorch's step: eager or, `compiled`, with both networks through `torch.compile`."""
    import torch

    from benchmarks.torch_steps import Trainer

    torch.manual_seed(0)
    mean = stepping.mean_pixel(crops_NxSxSx3)
    trainer = Trainer(config, mean, device=device, compiled=compiled)
    images = torch.from_numpy(crops_NxSxSx3).to(device)
    batches = stepping.shuffled_batches(len(crops_NxSxSx3), config.data.batch_size)

    def run(count: int) -> None:
        for _ in range(count):
            index = torch.from_numpy(next(batches))
            if device == "cuda":
                # From pinned memory: nobody waits for the copy.
                index = index.pin_memory().to(device, non_blocking=True)
            trainer.step(phase, images.index_select(0, index))
        accelerators.synchronize(device)

    return Prepared(run)


CONTENDERS: dict[Key, Contender] = {
    "float32": Contender("glcic_jax float32", "float32", prepare_ours),
    "bfloat16": Contender("glcic_jax bfloat16", "bfloat16", prepare_ours),
    "scanned": Contender(
        f"glcic_jax bfloat16, {SCANNED_STEPS} steps a call", "bfloat16", prepare_scanned
    ),
    "pytorch": Contender("PyTorch float32", "float32", prepare_pytorch),
    "pytorch-compiled": Contender(
        "PyTorch bfloat16 compiled", "bfloat16", functools.partial(prepare_pytorch, compiled=True)
    ),
}
"""By what they are called on the command line."""


def _mesh(device: Device) -> Mesh:
    """Of one GPU, as PyTorch uses one; of all virtual devices of a CPU."""
    return devices.batch_mesh(jax.devices(device)[:1] if device == "cuda" else None)


def _bytes_accessed(step: Any, state: Any, batch: jax.Array) -> float | None:
    """Of a step of `compile_step` with resident images, which it binds to what `jax.jit` returned.
    The program is at hand already."""
    compiled = step.func.lower(state, batch, **step.keywords).compile()
    counted = (compiled.cost_analysis() or {}).get("bytes accessed", 0.0)
    return float(counted) if counted > 0 else None
