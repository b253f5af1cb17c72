"""What stands in the hole before the completion network looks at it: pure functions.

`mean_fill` is the paper's choice. `harmonic_fill` continues the surroundings smoothly: it solves
Laplace's equation in the hole with the known pixels as boundary, so that the network only has to
add what a smooth surface lacks.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.lax import slice_in_dim

_LONGEST_WAVE = 32
"""Cells; the sweeps of each level smooth what is shorter."""


class Frame(NamedTuple):
    """Where a window lies in the image that it was cut from; integers, or int32 scalars.

    Rows from `height` and columns from `width` on lie outside the image. `side` is the longer side
    of the whole image. All in pixels.
    """

    height: int | jax.Array
    width: int | jax.Array
    side: int | jax.Array

    def halved(self) -> Frame:
        """The frame in cells of twice the side."""
        return Frame(*((length + 1) // 2 for length in self))


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
    image: jax.Array,
    mask: jax.Array,
    mean_pixel: jax.Array,
    sweeps: int = 16,
    frame: Frame | None = None,
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
        frame: given if `image` is a window of a larger image. The result in the hole is that of the
            whole image if the window is placed as `inpainting.geometry.fill_window` places it. What
            lies outside the image is not read and comes back as anything.

    Returns:
        image_BxHxWx3 in [0, 1].
    """
    image = mean_fill(image, mask, mean_pixel)
    known = 1.0 - mask
    height, width = image.shape[1:3]
    if frame is None:
        frame = Frame(height, width, max(height, width))
    else:
        rows, columns = jnp.arange(height) < frame.height, jnp.arange(width) < frame.width
        known = known * (rows[:, None] & columns)[..., None]
    return jnp.clip(_solve(image, known, mean_pixel, sweeps, frame), 0.0, 1.0)


def _solve(
    image: jax.Array, known: jax.Array, mean_pixel: jax.Array, sweeps: int, frame: Frame
) -> jax.Array:
    height, width = image.shape[1:3]
    if height == 1 and width == 1:
        return jnp.where(known > 0, image, mean_pixel)
    half = frame.halved()
    coarse = _solve(*_halve(image, known), mean_pixel, sweeps, half)
    coarse = _double(_double(coarse, 1, half.height), 2, half.width)
    start = coarse[:, :height, :width]
    return _relax(jnp.where(known > 0, image, start), known > 0, sweeps, frame)


def _relax(surface: jax.Array, is_known: jax.Array, sweeps: int, frame: Frame) -> jax.Array:
    """Chebyshev-accelerated Jacobi sweeps (Golub & Varga 1961) over the pixels not known."""
    # Spectral radius of the plain sweep for a hole half as large as the level, but no larger than
    # these many sweeps can smooth: errors of longer waves are left to the coarser levels. With the
    # radius of a hole of 256 pixels they would take no error below 0.98 of what it was.
    is_array = isinstance(frame.side, jax.Array)
    cosine, least = (jnp.cos, jnp.minimum) if is_array else (math.cos, min)
    radius = cosine(math.pi / (least(frame.side, _LONGEST_WAVE) / 2 + 1))
    weights = [1.0, 1 / (1 - radius**2 / 2)]
    while len(weights) < sweeps:
        weights.append(1 / (1 - radius**2 * weights[-1] / 4))

    def sweep(surfaces, weight):
        before, now = surfaces
        after = weight * (neighbour_mean(now, frame) - before) + before
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


def _double(image: jax.Array, axis: int, length: int | jax.Array) -> jax.Array:
    """Linear interpolation to twice the cells along one axis."""
    before, after = _before(image, axis), _after(image, axis, length)
    pairs = [0.75 * image + 0.25 * before, 0.75 * image + 0.25 * after]
    shape = (*image.shape[:axis], 2 * image.shape[axis], *image.shape[axis + 1 :])
    return jnp.stack(pairs, axis + 1).reshape(shape)


def neighbour_mean(image: jax.Array, frame: Frame) -> jax.Array:
    """Mean of each pixel's four neighbours, image_BxHxWxC; beyond the border, the pixel itself."""
    up, down = _before(image, 1), _after(image, 1, frame.height)
    left, right = _before(image, 2), _after(image, 2, frame.width)
    return 0.25 * (up + down + left + right)


def _before(image: jax.Array, axis: int) -> jax.Array:
    """Each cell's predecessor along an axis; the first cell's is itself."""
    head = slice_in_dim(image, 0, 1, axis=axis)
    return jnp.concatenate([head, slice_in_dim(image, 0, -1, axis=axis)], axis)


def _after(image: jax.Array, axis: int, length: int | jax.Array) -> jax.Array:
    """Each cell's successor along an axis; that of the last cell of `length` is itself."""
    count = image.shape[axis]
    tail = slice_in_dim(image, count - 1, count, axis=axis)
    shifted = jnp.concatenate([slice_in_dim(image, 1, None, axis=axis), tail], axis)
    if isinstance(length, int):  # then it is the array's own length
        return shifted
    position = jax.lax.broadcasted_iota(jnp.int32, image.shape, axis)
    return jnp.where(position == length - 1, image, shifted)
