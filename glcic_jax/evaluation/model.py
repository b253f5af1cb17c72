"""A trained generator as one of the methods that are scored, by the code that users call."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from glcic_jax.errors import UserError
from glcic_jax.imaging.batches import in_fixed_batches
from glcic_jax.imaging.classical import Completer
from glcic_jax.imaging.values import composite, to_float, to_uint8
from glcic_jax.inpainting import photographs, small_images
from glcic_jax.inpainting.coarse_to_fine import complete
from glcic_jax.inpainting.prepared import Prepared, prepare
from glcic_jax.networks.interface import Generator
from glcic_jax.runtime import devices

_ROWS_PER_DEVICE = 16


def model_completer(generator: Generator, variables: Any, mesh: Mesh | None = None) -> Completer:
    """A trained generator as a completer, by the code that users' images go through.

    Small images are shared out over all devices of the mesh; each device computes 16 a call,
    whatever the batch. Larger ones are filled one by one. An 8-bit result is therefore the same for
    any batch size, and on CPUs without compiled convolutions and on accelerators for any number of
    devices. Calls with another model of the same definition don't
    compile again.

    Args:
        generator: the network, see `networks.interface.Generator`.
        variables: its variables, on any device.
        mesh: of one axis; by default all local devices.

    Returns:
        The completer. It raises a UserError where the model's output is not finite.
    """
    mesh = devices.batch_mesh(jax.local_devices()) if mesh is None else mesh
    (axis,) = mesh.axis_names
    everywhere = NamedSharding(mesh, PartitionSpec())
    variables = jax.device_put(variables, everywhere)
    prepared = None if generator.layers() is None else prepare(generator, variables)
    sharding = NamedSharding(mesh, PartitionSpec(axis))

    def complete_rows(image_u8: np.ndarray, mask: np.ndarray) -> tuple[jax.Array, jax.Array]:
        if prepared is None:
            shared = jax.device_put((image_u8, mask), sharding)
            return _complete_whole(generator, mesh, variables, *shared)
        image, hole, cells_2 = small_images.lay_out(generator, image_u8, mask[..., 0] > 0.5)
        shared = jax.device_put((image, hole), sharding)
        arrays = jax.device_put((prepared.folded, prepared.mean_pixel, cells_2), everywhere)
        completed, finite = _complete_small(generator, mesh, arrays, *shared)
        return small_images.cut_out(generator, completed, *image_u8.shape[1:3]), finite

    def completer(image_u8: np.ndarray, mask: np.ndarray) -> np.ndarray:
        if prepared is not None and not photographs.is_small(generator, mask[..., 0] > 0.5):
            completed, finite = _complete_large(prepared, image_u8, mask)
        else:
            rows = _ROWS_PER_DEVICE * mesh.size
            completed, finite = in_fixed_batches(complete_rows, rows, image_u8, mask)
        if not finite.all():
            raise UserError(
                "the model's output is not finite (NaN or infinity), so the training has "
                "diverged; take an earlier checkpoint or a lower learning rate"
            )
        return completed

    return completer


def _complete_large(
    prepared: Prepared, image_u8: np.ndarray, mask: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """As floats, in which a value that is not finite shows; rounded as `inpaint_fn` rounds."""
    image = image_u8.astype(np.float32) / np.float32(255)
    completed = photographs.fill_holes(prepared, image, mask[..., 0] > 0.5)
    finite = np.isfinite(completed).all((1, 2, 3))
    rounded = np.asarray(to_uint8(jnp.asarray(completed)))
    return np.where(mask > 0.5, rounded, image_u8), finite


@functools.partial(devices.jit, static_argnums=(0, 1))
def _complete_small(
    generator: Generator, mesh: Mesh, arrays: Any, image: jax.Array, hole: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """uint8 completed canvases, and whether each one's values were finite, bool[B]."""

    def on_one_device(arrays: Any, image: jax.Array, hole: jax.Array) -> Any:
        folded, mean_pixel, cells_2 = arrays
        output = small_images.complete_canvas(generator, folded, mean_pixel, image, hole, cells_2)
        return _in_8_bits(output, image, hole.astype(jnp.float32))

    return _shared_out(on_one_device, mesh)(arrays, image, hole)


@functools.partial(devices.jit, static_argnums=(0, 1))
def _complete_whole(
    generator: Generator, mesh: Mesh, variables: Any, image: jax.Array, mask: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """As `_complete_small`, of a network that can't be computed in parts."""

    def on_one_device(variables: Any, image: jax.Array, mask: jax.Array) -> Any:
        output, _ = complete(generator, variables, to_float(image), mask)
        return _in_8_bits(output, image, mask)

    return _shared_out(on_one_device, mesh)(variables, image, mask)


def _in_8_bits(output: jax.Array, image_u8: jax.Array, mask: jax.Array) -> Any:
    finite = jnp.all(jnp.isfinite(jnp.where(mask > 0.5, output, 0.0)), axis=(1, 2, 3))
    return composite(to_uint8(output), image_u8, mask), finite


def _shared_out(function: Any, mesh: Mesh) -> Any:
    """The function on each device's share of the batch; its first argument is on all of them."""
    if mesh.size == 1:
        return function
    batch = PartitionSpec(*mesh.axis_names)
    return jax.shard_map(
        function,
        mesh=mesh,
        in_specs=(PartitionSpec(), batch, batch),
        out_specs=batch,
        check_vma=False,  # nothing is communicated, so there is nothing to check
    )
