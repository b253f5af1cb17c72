"""What stands in the hole before the completion network looks at it: pure functions.

`mean_fill` is the paper's choice. `harmonic_fill` continues the surroundings smoothly: it solves
Laplace's equation in the hole with the known pixels as boundary, so that the network only has to
add what a smooth surface lacks.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp


def mean_fill(image: jax.Array, mask: jax.Array, mean_pixel: jax.Array) -> jax.Array:
    """The mean pixel in the hole (Iizuka et al. 2017, section 3.3).

    Args:
        image: image_BxHxWx3 in [0, 1].
        mask: mask_BxHxWx1, 1 is the hole.
        mean_pixel: float32 of shape (3,), in [0, 1].

    Returns:
        image_BxHxWx3 in [0, 1].
    """
    return jnp.where(mask > 0.5, mean_pixel.astype(image.dtype), image)


def harmonic_fill(
    image: jax.Array, mask: jax.Array, mean_pixel: jax.Array, sweeps: int = 16
) -> jax.Array:
    """The smooth solution of Laplace's equation in the hole.

    Cascadic multigrid (Bornemann & Deuflhard 1996): the known pixels are averaged down a pyramid
    until every cell has a value; then each level starts from the one below and makes a few sweeps,
    in which every missing pixel becomes the mean of its four neighbours, accelerated by Chebyshev
    semi-iteration. The image's border is reflected. Sweeps on the finest level alone would need
    to be as many as the hole has pixels, for the same nearness to the exact solution.

    Args:
        image: image_BxHxWx3 in [0, 1]; its values in the hole are not read.
        mask: mask_BxHxWx1, 1 is the hole.
        mean_pixel: float32 of shape (3,), in [0, 1]; fills an image with no known pixel.
        sweeps: on each level.

    Returns:
        image_BxHxWx3 in [0, 1].
    """
    image = mean_fill(image, mask, mean_pixel)
    return jnp.clip(_solve(image, 1.0 - mask, mean_pixel, sweeps), 0.0, 1.0)


def _solve(image: jax.Array, known: jax.Array, mean_pixel: jax.Array, sweeps: int) -> jax.Array:
    height, width = image.shape[1:3]
    if height == 1 and width == 1:
        return jnp.where(known > 0, image, mean_pixel)
    coarse = _solve(*_halve(image, known), mean_pixel, sweeps)
    doubled = (image.shape[0], 2 * coarse.shape[1], 2 * coarse.shape[2], 3)
    start = jax.image.resize(coarse, doubled, "linear")[:, :height, :width]
    return _relax(jnp.where(known > 0, image, start), known > 0, sweeps)


def _relax(surface: jax.Array, is_known: jax.Array, sweeps: int) -> jax.Array:
    """Chebyshev-accelerated Jacobi sweeps (Golub & Varga 1961) over the pixels not known."""
    # Spectral radius of the plain sweep for a hole half as large as the level; for a larger one
    # the acceleration is weaker, never unstable.
    radius = math.cos(math.pi / (max(surface.shape[1:3]) / 2 + 1))
    weights = [1.0, 1 / (1 - radius**2 / 2)]
    while len(weights) < sweeps:
        weights.append(1 / (1 - radius**2 * weights[-1] / 4))

    def sweep(surfaces, weight):
        before, now = surfaces
        after = weight * (_neighbour_mean(now) - before) + before
        return (now, jnp.where(is_known, now, after)), None

    (_, surface), _ = jax.lax.scan(sweep, (surface, surface), jnp.asarray(weights[:sweeps]))
    return surface


def _halve(image: jax.Array, known: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Mean of the known pixels of each 2x2 cell, and whether the cell has any."""
    pad = ((0, 0), (0, image.shape[1] % 2), (0, image.shape[2] % 2), (0, 0))

    def cell_sum(values):
        values = jnp.pad(values, pad)
        batch, height, width, channels = values.shape
        return values.reshape(batch, height // 2, 2, width // 2, 2, channels).sum((2, 4))

    count = cell_sum(known)
    return cell_sum(image * known) / jnp.maximum(count, 1.0), jnp.minimum(count, 1.0)


def _neighbour_mean(image: jax.Array) -> jax.Array:
    up = jnp.concatenate([image[:, :1], image[:, :-1]], 1)
    down = jnp.concatenate([image[:, 1:], image[:, -1:]], 1)
    left = jnp.concatenate([image[:, :, :1], image[:, :, :-1]], 2)
    right = jnp.concatenate([image[:, :, 1:], image[:, :, -1:]], 2)
    return 0.25 * (up + down + left + right)
