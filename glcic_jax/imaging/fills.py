"""What stands in the hole before the completion network looks at it: pure functions.

`mean_fill` is the paper's choice. `harmonic_fill` continues the surroundings smoothly: it solves
Laplace's equation in the hole with the known pixels as boundary, so that the network only has to
add what a smooth surface lacks.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.lax import slice_in_dim

LONGEST_WAVE = 32
"""Cells; the sweeps of each level smooth what is shorter."""
SWEEPS = 16
"""On each level."""
SYMBOLIC_HALVINGS = 14
"""Of images whose size is not known yet (`jax.export`): down to one cell from 16,384 a side, and
further halvings of one cell change nothing."""


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

    @classmethod
    def of_whole(cls, height: int, width: int) -> Frame:
        """The frame of an image that is all there is; its sides may be symbolic."""
        if isinstance(height, int) and isinstance(width, int):
            return cls(height, width, max(height, width))
        return cls(height, width, jnp.maximum(jnp.asarray(height), jnp.asarray(width)))


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
    sweeps: int = SWEEPS,
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
    return harmonic_fills(image, mask, mean_pixel, 1, sweeps, frame)[0]


def harmonic_fills(
    image_BxHxWx3: jax.Array,
    mask_BxHxWx1: jax.Array,
    mean_pixel: jax.Array,
    count: int,
    sweeps: int = SWEEPS,
    frame: Frame | None = None,
) -> list[jax.Array]:
    """`harmonic_fill` of an image, of its half, and so on: all sizes for the cost of the first.

    Arguments as of `harmonic_fill`, `mean_pixel` of shape (3,), and `count`, the number of sizes. H
    and W divide by 2 as often as the image is halved; the halves are those of `levels.halve`.
    """
    image = mean_fill(image_BxHxWx3, mask_BxHxWx1, mean_pixel)
    known = 1.0 - mask_BxHxWx1
    height, width = image.shape[1:3]
    if frame is None:
        frame = Frame.of_whole(height, width)
    else:
        rows, columns = jnp.arange(height) < frame.height, jnp.arange(width) < frame.width
        known = known * (rows[:, None] & columns)[..., None]
    sizes = _sizes_to_one(height, width)
    surfaces = _solve(image, known, mean_pixel, sweeps, frame, sizes)
    return [jnp.clip(surface, 0.0, 1.0) for surface in surfaces[:count]]


def _sizes_to_one(height: int, width: int) -> list[tuple[int, int]]:
    """Height and width of each halved level, down to one cell."""
    count = SYMBOLIC_HALVINGS
    if isinstance(height, int) and isinstance(width, int):
        count = (max(height, width) - 1).bit_length()
    # From the whole sides, not one from the other: symbolic ones would grow with every level.
    cells = [2**number for number in range(1, count + 1)]
    return [((height + cell - 1) // cell, (width + cell - 1) // cell) for cell in cells]


def _solve(
    image: jax.Array,
    known: jax.Array,
    mean_pixel: jax.Array,
    sweeps: int,
    frame: Frame,
    sizes: list[tuple[int, int]],
) -> list[jax.Array]:
    """The surfaces of this level and of all coarser ones, which have `sizes`."""
    if not sizes:
        return [jnp.where(known > 0, image, mean_pixel)]
    half = frame.halved()
    halves = _halve(image, known, sizes[0])
    coarser = _solve(*halves, mean_pixel, sweeps, half, sizes[1:])
    doubled = _double(_double(coarser[0], 1, half.height), 2, half.width)
    start = jnp.where(known > 0, image, _end_at(doubled, image.shape))
    return [_relax(start, known > 0, sweeps, frame), *coarser]


def sweep_weights(side: int | jax.Array, sweeps: int = SWEEPS) -> list[Any]:
    """Weights of the Chebyshev-accelerated sweeps of a level (Golub & Varga 1961).

    Args:
        side: the longer side of the level in cells; an int32 scalar where it is not known yet.
        sweeps: how many.
    """
    # Spectral radius of the plain sweep for a hole half as large as the level, but no larger than
    # these many sweeps can smooth: errors of longer waves are left to the coarser levels. With the
    # radius of a hole of 256 pixels they would take no error below 0.98 of what it was.
    is_array = isinstance(side, jax.Array)
    cosine, least = (jnp.cos, jnp.minimum) if is_array else (math.cos, min)
    radius = cosine(math.pi / (least(side, LONGEST_WAVE) / 2 + 1))
    weights = [1.0, 1 / (1 - radius**2 / 2)]
    while len(weights) < sweeps:
        weights.append(1 / (1 - radius**2 * weights[-1] / 4))
    return weights[:sweeps]


def _relax(surface: jax.Array, is_known: jax.Array, sweeps: int, frame: Frame) -> jax.Array:
    """Accelerated Jacobi sweeps over the pixels not known."""
    weights = jnp.asarray(sweep_weights(frame.side, sweeps))

    def sweep(surfaces, weight):
        before, now = surfaces
        after = weight * (neighbour_mean(now, frame) - before) + before
        return (now, jnp.where(is_known, now, after)), None

    (_, surface), _ = jax.lax.scan(sweep, (surface, surface), weights)
    return surface


def _halve(
    image: jax.Array, known: jax.Array, size: tuple[int, int]
) -> tuple[jax.Array, jax.Array]:
    """Mean of the known pixels of each 2x2 cell, and whether the cell has any; `size` in cells."""
    height, width = size
    whole = (image.shape[0], 2 * height, 2 * width)

    def cell_sum(values):
        batch, *_, channels = values.shape
        values = _end_at(values, whole)
        return values.reshape(batch, height, 2, width, 2, channels).sum((2, 4))

    count = cell_sum(known)
    return cell_sum(image * known) / jnp.maximum(count, 1.0), jnp.minimum(count, 1.0)


def _end_at(image: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Cut off, or zeros added, so that height and width are those of `shape`; also symbolic ones,
    of which nobody knows which is longer."""
    ends = [(0, shape[axis] - image.shape[axis], 0) for axis in (1, 2)]
    return jax.lax.pad(image, jnp.zeros((), image.dtype), [(0, 0, 0), *ends, (0, 0, 0)])


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
    if not isinstance(length, (jax.Array, np.ndarray, np.generic)):  # then it is the array's own
        return shifted
    position = jax.lax.broadcasted_iota(jnp.int32, image.shape, axis)
    return jnp.where(position == length - 1, image, shifted)
