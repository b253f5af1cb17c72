"""One axis of devices over which batches are shared: the mesh, and placing arrays on it."""

from __future__ import annotations

import os
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from glcic_jax.errors import UserError

BATCH_AXIS = "batch"


def set_cpu_devices(count: int) -> None:
    """Make `count` virtual devices of the CPU; accelerators are left alone.

    Call it before anything asks JAX for its devices. A number in `XLA_FLAGS` goes before.
    """
    if "xla_force_host_platform_device_count" not in os.environ.get("XLA_FLAGS", ""):
        jax.config.update("jax_num_cpu_devices", count)


def batch_mesh(devices: list[jax.Device] | None = None) -> Mesh:
    """A mesh of one axis over `devices`; by default all of them, of all processes."""
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
    """This process's share of a batch -> the global array, sharded over its first axis."""
    return jax.make_array_from_process_local_data(batch_sharded(mesh), local)


def put_replicated(mesh: Mesh, tree: Any) -> Any:
    """Copy a pytree, the same in every process, to all devices."""
    return jax.device_put(tree, replicated(mesh))


def check_batch(batch_size: int, mesh: Mesh) -> None:
    """Raise a `UserError` unless the batch can be shared equally over the devices."""
    if batch_size % mesh.size:
        nearest = max(1, batch_size // mesh.size) * mesh.size
        raise UserError(
            f"data.batch-size {batch_size} does not divide by the {mesh.size} devices; "
            f"the nearest that does is {nearest} (on a CPU, loop.cpu-devices sets their number)"
        )
