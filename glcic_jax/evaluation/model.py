"""A trained generator as one of the methods that are scored."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from glcic_jax.errors import UserError
from glcic_jax.imaging import classical, values
from glcic_jax.imaging.classical import Completer
from glcic_jax.inpainting import inpaint
from glcic_jax.runtime import devices

_ROWS_PER_DEVICE = 16


def model_completer(generator: Any, variables: Any, mesh: Mesh | None = None) -> Completer:
    """A trained generator as a completer on all devices.

    The batch is shared out over the mesh; each device computes 16 images a call, whatever the
    batch. An 8-bit result is therefore the same for any batch size and number of devices. Calls
    with another model of the same definition don't compile again.

    Args:
        generator: a Flax module, see `inpaint.complete`.
        variables: its variables, on any device.
        mesh: of one axis; by default all local devices.

    Returns:
        The completer. It raises a UserError where the model's output is not finite.
    """
    mesh = devices.batch_mesh(jax.local_devices()) if mesh is None else mesh
    (axis,) = mesh.axis_names
    variables = jax.device_put(variables, NamedSharding(mesh, PartitionSpec()))
    sharding = NamedSharding(mesh, PartitionSpec(axis))

    def complete_rows(image_u8: np.ndarray, mask: np.ndarray) -> tuple[jax.Array, jax.Array]:
        shared = jax.device_put((image_u8, mask), sharding)
        return _complete_on_mesh(generator, mesh, variables, *shared)

    def completer(image_u8: np.ndarray, mask: np.ndarray) -> np.ndarray:
        rows = _ROWS_PER_DEVICE * mesh.size
        completed, finite = classical.in_fixed_batches(complete_rows, rows, image_u8, mask)
        if not finite.all():
            raise UserError(
                "the model's output is not finite (NaN or infinity), so the training has "
                "diverged; take an earlier checkpoint or a lower learning rate"
            )
        return completed

    return completer


@functools.partial(devices.jit, static_argnums=(0, 1))
def _complete_on_mesh(
    generator: Any, mesh: Mesh, variables: Any, image_u8: jax.Array, mask: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """uint8 completed image, and whether each image's values were finite, bool[B]."""

    def on_one_device(variables: Any, image_u8: jax.Array, mask: jax.Array) -> Any:
        _, completed = inpaint.complete(generator, variables, values.to_float(image_u8), mask)
        finite = jnp.all(jnp.isfinite(completed), axis=(1, 2, 3))
        return values.composite(values.to_uint8(completed), image_u8, mask), finite

    batch = PartitionSpec(*mesh.axis_names)
    return jax.shard_map(
        on_one_device,
        mesh=mesh,
        in_specs=(PartitionSpec(), batch, batch),
        out_specs=batch,
        check_vma=False,  # nothing is communicated, so there is nothing to check
    )(variables, image_u8, mask)
