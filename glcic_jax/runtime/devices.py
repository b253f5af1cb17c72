"""The devices: how many, the mesh over which batches are shared, arrays placed on it, how programs
are compiled for them and where compiled programs are kept."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.experimental.compilation_cache import compilation_cache
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from glcic_jax.cpu.caches import instruction_sets, user_cache
from glcic_jax.errors import UserError

BATCH_AXIS = "batch"


def set_cpu_devices(count: int) -> None:
    """Make `count` virtual devices of the CPU; accelerators are left alone.

    Call it before anything asks JAX for its devices. A number in `XLA_FLAGS` goes before.
    """
    if "xla_force_host_platform_device_count" not in os.environ.get("XLA_FLAGS", ""):
        jax.config.update("jax_num_cpu_devices", count)


def keep_compiled_programs() -> None:
    """Keep compiled programs on disk, so that the next start or resume need not compile again.

    In the user's cache directory (`XDG_CACHE_HOME`, by default `~/.cache`), unless
    `JAX_COMPILATION_CACHE_DIR` names another place or is empty, which turns this off, or the
    program has told JAX of a place itself. Programs for CPUs of other kinds are kept apart: a home
    directory may be shared by different machines, and JAX's own key does not tell their instruction
    sets apart.
    """
    chosen = getattr(jax.config, "jax_compilation_cache_dir", None)
    if "JAX_COMPILATION_CACHE_DIR" in os.environ or chosen:
        return
    directory = user_cache(f"programs-{instruction_sets()}")
    if directory is None:  # every start compiles
        return
    jax.config.update("jax_compilation_cache_dir", str(directory))
    if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
        jax.config.update("jax_persistent_cache_min_compile_time_secs", _LEAST_SECONDS)
    # Where something is compiled already, JAX has made up its mind that there is no place.
    compilation_cache.reset_cache()


def refuse_after_fork() -> None:
    """Say so where JAX would hang: in a child that was forked after its parent had used it.

    JAX's threads don't come along, and whatever waits for one of them waits for ever.

    Raises:
        UserError: this process is such a child.
    """
    global _user
    if _user is None:
        _user = os.getpid()
    elif _user != os.getpid():
        raise UserError(
            "this process was forked from one that had used JAX, and would hang; start processes "
            'with multiprocessing.get_context("spawn"), or fork before the first fill'
        )


_user: int | None = None
"""The process that first used JAX through this package."""


_LEAST_SECONDS = 0.05
"""Programs that compile faster are not kept. A fill needs a dozen of a second or less."""

_YNN = "xla_cpu_experimental_ynn_fusion_type"


@functools.cache
def compiler_options(platform_name: str) -> dict[str, str | bool]:
    """What to tell XLA about every program that computes a network, for `jax.jit`.

    On CPU: leave convolutions to XLA's own (Eigen) routines. jaxlib 0.10 hands them to the YNNPACK
    library, which on 32x32 maps of 32 channels takes 1.6 times as long for a convolution and 3
    times for the gradient by its kernel (2-core AVX-512 CPU, one device). Sums and matrix products
    stay with YNNPACK: without it batch normalisation takes 7 times as long.

    Args:
        platform_name: cpu, gpu or tpu, such as `jax.default_backend()`.

    Returns:
        Options by name; none for accelerators, or where this jaxlib does not know the option.
    """
    if platform_name != "cpu":
        return {}
    options: dict[str, str | bool] = {
        _YNN: "LIBRARY_FUSION_TYPE_REDUCE,LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT"
    }
    with jax.default_device(jax.devices("cpu")[0]):
        try:
            jax.jit(lambda: 0).lower().compile(compiler_options=options)
        except jax.errors.JaxRuntimeError:
            return {}
    return options


def jit(function: Callable, **settings: Any) -> Callable:
    """`jax.jit` with the `compiler_options` of the default platform, for a call from outside.

    The platform is asked for at the first call, so a module may use it where JAX must not start.
    """

    @functools.cache
    def compiled() -> Any:
        return jax.jit(
            function, compiler_options=compiler_options(jax.default_backend()), **settings
        )

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        return compiled()(*args, **kwargs)

    return call


def batch_mesh(devices: list[jax.Device] | None = None) -> Mesh:
    """A mesh of one axis over `devices`; by default all of them, of all processes."""
    if devices is None and jax.process_count() > 1:
        # By process, so that each one's share of a batch is one block of it, as with one process.
        # `make_mesh` might order them by how the chips are connected.
        ordered = sorted(jax.devices(), key=lambda device: (device.process_index, device.id))
        return Mesh(np.array(ordered), (BATCH_AXIS,), axis_types=(AxisType.Auto,))
    devices = jax.devices() if devices is None else devices
    return jax.make_mesh(
        (len(devices),), (BATCH_AXIS,), axis_types=(AxisType.Auto,), devices=devices
    )


def replicated(mesh: Mesh) -> NamedSharding:
    """Every device holds the whole array."""
    return NamedSharding(mesh, PartitionSpec())


def batch_sharded(mesh: Mesh) -> NamedSharding:
    """The first axis is shared over the devices."""
    return NamedSharding(mesh, PartitionSpec(BATCH_AXIS))


def put_batch(mesh: Mesh, local: np.ndarray) -> jax.Array:
    """This process's share of a batch -> the global array, sharded over its first axis.

    Args:
        mesh: of one axis.
        local: any dtype and any shape whose first axis is the batch.
    """
    return jax.make_array_from_process_local_data(batch_sharded(mesh), local)


def put_replicated(mesh: Mesh, tree: Any) -> Any:
    """Copy a pytree of host arrays, the same in every process, to all devices."""
    if jax.process_count() == 1:
        return jax.device_put(tree, replicated(mesh))

    def place(leaf: np.ndarray) -> jax.Array:
        # `device_put` would send every array through the network to compare the processes'.
        return jax.make_array_from_callback(leaf.shape, replicated(mesh), lambda at: leaf[at])

    return jax.tree.map(place, tree)


def local_copy(tree: Any) -> Any:
    """A pytree of replicated arrays as arrays of this process alone, without communication."""
    if jax.process_count() == 1:
        return tree
    return jax.tree.map(lambda leaf: leaf.addressable_data(0), tree)


def check_batch(batch_size: int, mesh: Mesh) -> None:
    """Raise a `UserError` unless the batch can be shared equally over the devices."""
    if batch_size % mesh.size:
        nearest = max(1, batch_size // mesh.size) * mesh.size
        raise UserError(
            f"data.batch-size {batch_size} does not divide by the {mesh.size} devices; "
            f"the nearest that does is {nearest} (on a CPU, loop.cpu-devices sets their number)"
        )
