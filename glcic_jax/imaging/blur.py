"""The Gaussian blur, of training images and of the windows of structural similarity."""

from __future__ import annotations

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp


def gaussian_blur(image_BxHxWxC: jax.Array, sigma: float | jax.Array, radius: int) -> jax.Array:
    """Gaussian mean around every pixel: separable, with mirrored borders, same shape and dtype.

    A sum of shifted images rather than a convolution: its order of additions, and so every bit
    of a score, is the same on any number of threads, and a kernel of each image's own, under
    `vmap`, costs no more than one for all.

    Args:
        image_BxHxWxC: float; B stands for any number of axes, none included.
        sigma: standard deviation in pixels, positive; a float, or a float32 scalar.
        radius: pixels to either side that the kernel reaches.
    """
    weights = _weights(sigma, radius)
    for axis in (-3, -2):
        image_BxHxWxC = _along(image_BxHxWxC, weights, axis % image_BxHxWxC.ndim)
    return image_BxHxWxC


def _weights(sigma: float | jax.Array, radius: int) -> Sequence[float | jax.Array]:
    """Of sum 1; of a number in double precision, whatever the images are."""
    if isinstance(sigma, jax.Array):
        weights = jnp.exp(-0.5 * (jnp.arange(-radius, radius + 1) / sigma) ** 2)
        return list(weights / weights.sum())
    exact = [math.exp(-0.5 * (offset / sigma) ** 2) for offset in range(-radius, radius + 1)]
    return [weight / sum(exact) for weight in exact]


def _along(image: jax.Array, weights: Sequence[float | jax.Array], axis: int) -> jax.Array:
    radius = len(weights) // 2
    padding = [(radius, radius) if axis == other else (0, 0) for other in range(image.ndim)]
    padded = jnp.pad(image, padding, mode="symmetric")
    # Without the barriers XLA fuses both passes and computes (2 radius + 1)^2 products in place
    # of twice 2 radius + 1.
    padded = jax.lax.optimization_barrier(padded)
    parts = [
        weight * jax.lax.slice_in_dim(padded, k, k + image.shape[axis], axis=axis)
        for k, weight in enumerate(weights)
    ]
    return jax.lax.optimization_barrier(sum(parts[1:], parts[0]))
