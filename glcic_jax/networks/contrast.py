"""Brightness and contrast taken out of what a network sees and put back into what it adds.

A network that reads `normalised` images and whose residual goes through `restored` answers to
`a x + b` with `a y + b`, leaves a flat picture flat and a gray one gray, whatever its weights. Pure
functions of arrays. Statistics are local: they reach `REACH` pixels, so a window of a photograph
that holds so much around it gives what the whole photograph gives.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

CELL = 4
"""Statistics are taken over cells of so many pixels; height and width must divide by it."""
_SIGMA = 4.0
RADIUS = 8
"""Standard deviation and radius of the Gaussian window, in cells."""
CELL_SUMS = 9
"""Numbers of a cell, see `cell_sums`."""
REACH = (RADIUS + 2) * CELL
"""Pixels on every side that a pixel's statistics depend on."""

HOLE_WEIGHT = 1e-3
"""What a pixel of the hole weighs, a known one weighing 1: enough where none is known nearby."""
NOISE = (0.1 / 255) ** 2
"""Variance that no 8-bit picture has but a flat one, with what float32 makes of it."""
LEAST = 0.1 / 255
"""Added to a deviation before it divides."""
GAIN = 0.2
"""Deviation of a normalised image: about that of the images which the networks were made for."""
FADE = 0.1
ENOUGH = 0.25
"""Share of known pixels in the window from which on a network's word is taken as it is: in the
middle of a square hole of 32 pixels it is 0.53, of 64 pixels 0.09."""


class Contrast(NamedTuple):
    """Local statistics of the known pixels around each pixel, float32.

    Attributes:
        mean: mean_BxHxWx3 in [0, 1], of R, G and B.
        total: deviation_BxHxWx1, at least 0, over R, G and B.
        scale: scale_BxHxWx3, at least 0: what a residual's Y, Co and Cg are multiplied by.
    """

    mean: jax.Array
    total: jax.Array
    scale: jax.Array


def local_contrast(
    filled_BxHxWx3: jax.Array, mask_BxHxWx1: jax.Array, inside_BxHxWx1: jax.Array | None = None
) -> Contrast:
    """Mean and contrast of the known pixels in a Gaussian window of standard deviation 16 pixels.

    Args:
        filled_BxHxWx3: float32 in [0, 1], the image with a smooth fill in its hole.
        mask_BxHxWx1: float32, 1 is the hole.
        inside_BxHxWx1: float32, 0 where a window sticks out of the image: such pixels are not read.
            None: all are inside.

    Returns:
        The statistics. They are homogeneous: those of `a x + b` have the mean `a m + b` and `a`
        times the deviations, but for the noise that is taken off.
    """
    return contrast_of_cells(cell_sums(filled_BxHxWx3, mask_BxHxWx1, inside_BxHxWx1))


def cell_sums(
    filled_BxHxWx3: jax.Array, mask_BxHxWx1: jax.Array, inside_BxHxWx1: jax.Array | None = None
) -> jax.Array:
    """What `contrast_of_cells` needs to know of each cell of an image, from its pixels alone.

    Arguments as of `local_contrast`. Returns:
        float32 cells_BxhxwxC with C = `CELL_SUMS`; all zeros where nothing is inside.
    """
    inside = jnp.ones_like(mask_BxHxWx1) if inside_BxHxWx1 is None else inside_BxHxWx1
    weight = (1.0 - (1.0 - HOLE_WEIGHT) * mask_BxHxWx1) * inside
    # About the middle of the range, where squares round least.
    image = filled_BxHxWx3 - 0.5
    square = jnp.square(to_luma_chroma(image))
    known = inside - mask_BxHxWx1 * inside
    return _cell_means(
        jnp.concatenate([weight * image, weight * square, weight, inside, known], -1)
    )


def contrast_of_cells(cells_BxhxwxC: jax.Array, border: int = 0) -> Contrast:
    """`local_contrast` from the sums of an image's cells.

    Args:
        cells_BxhxwxC: float32, see `cell_sums`.
        border: cells on every side that are read, but whose own contrast is not wanted.
    """
    smooth = _smooth(cells_BxhxwxC)
    edge = max(border - 1, 0)  # one more cell than wanted, to interpolate
    smooth, inside_Bxhxwx1 = (
        x[:, edge : x.shape[1] - edge, edge : x.shape[2] - edge]
        for x in (smooth, cells_BxhxwxC[..., 7:8])
    )
    has_any = (inside_Bxhxwx1 > 0).astype(jnp.float32)
    # No division by zero where a window holds nothing of the image.
    norm, inside = (jnp.maximum(smooth[..., k : k + 1], 1e-6) for k in (6, 7))
    mean, square = smooth[..., :3] / norm, smooth[..., 3:6] / norm
    variance = jnp.maximum(square - jnp.square(to_luma_chroma(mean)) - NOISE, 0.0)
    share = smooth[..., 8:] / inside
    found = _enlarge(jnp.concatenate([mean, variance, share], -1), has_any)
    if border:
        found = found[:, CELL:-CELL, CELL:-CELL]
    mean, variance, share = found[..., :3] + 0.5, found[..., 3:6], found[..., 6:]
    # The mean variance of R, G and B, were Y, Co and Cg uncorrelated: Y + 2/3 Co + Cg.
    shares = jnp.array([1.0, 2 / 3, 1.0])
    total = jnp.sqrt(jnp.sum(variance * shares, -1, keepdims=True))
    channel = jnp.sqrt(variance)
    # The common contrast, faded out where a channel has next to none of its own, and where hardly
    # anything around is known: what a network says there is a guess.
    scale = total * channel / (channel + FADE * total + 1e-6) / GAIN
    return Contrast(mean, total, scale * jnp.minimum(share / ENOUGH, 1.0) ** 2)


def normalised(filled_BxHxWx3: jax.Array, contrast: Contrast) -> jax.Array:
    """What the network sees: float32 image_BxHxWx3 of mean 0.5 and deviation 0.2 or less."""
    return 0.5 + GAIN * (filled_BxHxWx3 - contrast.mean) / (contrast.total + LEAST)


def restored(residual_BxHxWx3: jax.Array, scale_BxHxWx3: jax.Array) -> jax.Array:
    """What the network adds, in the image's own contrast: float32 of the same shape.

    Args:
        residual_BxHxWx3: float32 R, G and B, of a network that saw the `normalised` image.
        scale_BxHxWx3: see `Contrast`, of these pixels.
    """
    return from_luma_chroma(scale_BxHxWx3 * to_luma_chroma(residual_BxHxWx3))


def to_luma_chroma(image: jax.Array) -> jax.Array:
    """R, G, B -> Y, Co, Cg in the last axis, any shape (Malvar & Sullivan 2003, YCoCg).

    By differences, so that Co and Cg of equal R, G and B are exactly 0.
    """
    red, green, blue = image[..., 0], image[..., 1], image[..., 2]
    red, blue = red - green, blue - green
    parts = (green + 0.25 * (red + blue), 0.5 * (red - blue), -0.25 * (red + blue))
    return jnp.stack(parts, -1)


def from_luma_chroma(image: jax.Array) -> jax.Array:
    """The inverse of `to_luma_chroma`, any shape; equal R, G and B where Co and Cg are 0."""
    luma, orange, green = image[..., 0], image[..., 1], image[..., 2]
    return jnp.stack([luma + orange - green, luma + green, luma - orange - green], -1)


# --- Cells --------------------------------------------------------------------------------------


def _cell_means(x_BxHxWxC: jax.Array) -> jax.Array:
    batch, height, width, channels = x_BxHxWxC.shape
    cells = x_BxHxWxC.reshape(batch, height // CELL, CELL, width // CELL, CELL, channels)
    return cells.mean((2, 4))


def _smooth(cells_BxhxwxC: jax.Array) -> jax.Array:
    """The Gaussian over cells, zeros outside: cells_BxhxwxC."""
    height, width = cells_BxhxwxC.shape[1:3]
    return _separable(_gaussian(height), _gaussian(width), cells_BxhxwxC)


def _enlarge(x_BxhxwxC: jax.Array, has_any_Bxhxwx1: jax.Array) -> jax.Array:
    """Linear interpolation between the centres of cells that hold some of the image: x_BxHxWxC."""
    rows, columns = _between(x_BxhxwxC.shape[1]), _between(x_BxhxwxC.shape[2])
    total = _separable(rows, columns, x_BxhxwxC * has_any_Bxhxwx1)
    return total / jnp.maximum(_separable(rows, columns, has_any_Bxhxwx1), 1e-6)


def _separable(
    rows_PxH: np.ndarray | jax.Array, columns_QxW: np.ndarray | jax.Array, x: jax.Array
) -> jax.Array:
    highest = jax.lax.Precision.HIGHEST
    x = jnp.einsum("ph,bhwc->bpwc", rows_PxH, x, precision=highest)
    return jnp.einsum("qw,bpwc->bpqc", columns_QxW, x, precision=highest)


def gaussian_window() -> np.ndarray:
    """The weights of the cells from `RADIUS` before one to `RADIUS` behind it; their sum is 1."""
    weights = np.exp(-0.5 * (np.arange(-RADIUS, RADIUS + 1) / _SIGMA) ** 2)
    return weights / weights.sum()


def _gaussian(cells: int) -> np.ndarray | jax.Array:
    """The window of each cell as a row: float32 of shape (cells, cells)."""
    arrays = _arrays_for(cells)
    distance = arrays.arange(cells)[:, None] - arrays.arange(cells)
    window = arrays.asarray(np.pad(gaussian_window(), 1).astype(np.float32))
    return window[arrays.clip(distance + RADIUS + 1, 0, 2 * RADIUS + 2)]


def _between(cells: int) -> np.ndarray | jax.Array:
    """Linear interpolation, constant beyond the outer centres: float32 (CELL * cells, cells)."""
    arrays = _arrays_for(cells)
    place = arrays.clip((arrays.arange(cells * CELL) + 0.5) / CELL - 0.5, 0, cells - 1)
    distance = abs(place[:, None] - arrays.arange(cells))
    return arrays.maximum(1 - distance, 0).astype(np.float32)


def _arrays_for(length: int) -> Any:
    """What makes arrays of a length: NumPy, so that they are constants of the program; but JAX of a
    length that is symbolic, while a program is exported for all sizes."""
    return np if isinstance(length, int) else jnp
