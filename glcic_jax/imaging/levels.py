"""An image and its hole at half the size, and the way back: pure functions, to be jitted.

A hole too deep for a network is completed at a size at which it is not, and the result is where the
network starts from at twice that size, see `inpainting/coarse_to_fine.py`.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from glcic_jax.imaging.fills import Frame, neighbour_mean

_NEAR = (-0.0703125, 0.8671875, 0.2265625, -0.0234375)
"""Keys's cubic kernel (a = -1/2) a quarter of a cell off the second of four cells; sums to 1."""
SWEEPS = 8
"""How far a mismatch at the hole's rim reaches into it, in pixels."""
_CUBIC_REACH = 2
"""Cells to either side that a doubled cell depends on."""
START_REACH = SWEEPS + 2 * _CUBIC_REACH + 4
"""Pixels around one that its start depends on, in whole cells of 16."""


def halve(image_BxHxWx3: jax.Array, mask_BxHxWx1: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Means over cells of 2x2 pixels, of those that are known.

    Args:
        image_BxHxWx3: float32 in [0, 1]; values in the hole are not read. H and W are even.
        mask_BxHxWx1: float32, 1 is the hole.

    Returns:
        float32 image_Bxhxwx3, h = H / 2, 0 in the hole; and mask_Bxhxwx1, 1 where none of a cell's
        pixels is known. So a hole is at most half as wide as it was.
    """
    count = _cell_sums(1.0 - mask_BxHxWx1)
    image = _cell_sums(jnp.where(mask_BxHxWx1 > 0.5, 0.0, image_BxHxWx3))
    return image / jnp.maximum(count, 1.0), 1.0 - jnp.minimum(count, 1.0)


def double(image_BxhxwxC: jax.Array) -> jax.Array:
    """Bicubic interpolation to twice the size (Keys 1981, a = -1/2): image_BxHxWxC.

    The border is repeated. Of an image in [0, 1] the result may leave it a little.
    """
    return _double(_double(image_BxhxwxC, 1), 2)


def start_from_half(
    half_Bxhxwx3: jax.Array,
    image_BxHxWx3: jax.Array,
    mask_BxHxWx1: jax.Array,
    frame: Frame | None = None,
) -> jax.Array:
    """What stands in a hole first, from the image that was completed at half the size.

    The completed half, doubled, plus what it misses at the hole's rim, which is carried some pixels
    into the hole by sweeps in which every missing pixel becomes the mean of its four neighbours.

    Args:
        half_Bxhxwx3: float32 in [0, 1], the completed image, h = H / 2.
        image_BxHxWx3: float32 in [0, 1]; values in the hole are not read.
        mask_BxHxWx1: float32, 1 is the hole.
        frame: given if all of them are windows of larger images, which start at their border or
            `START_REACH` pixels before what is wanted.

    Returns:
        float32 image_BxHxWx3 in [0, 1]; anything outside the hole.
    """
    height, width = mask_BxHxWx1.shape[1:3]
    frame = Frame.of_whole(height, width) if frame is None else frame
    doubled = double(half_Bxhxwx3)
    is_known = mask_BxHxWx1 < 0.5

    def sweep(missed: jax.Array, _: None) -> tuple[jax.Array, None]:
        return jnp.where(is_known, missed, neighbour_mean(missed, frame)), None

    missed = jnp.where(is_known, image_BxHxWx3 - doubled, 0.0)
    missed, _ = jax.lax.scan(sweep, missed, None, length=SWEEPS)
    return jnp.clip(doubled + missed, 0.0, 1.0)


def _cell_sums(x_BxHxWxC: jax.Array) -> jax.Array:
    batch, height, width, channels = x_BxHxWxC.shape
    return x_BxHxWxC.reshape(batch, height // 2, 2, width // 2, 2, channels).sum((2, 4))


def _double(image: jax.Array, axis: int) -> jax.Array:
    length = image.shape[axis]
    pad = [(_CUBIC_REACH,) * 2 if number == axis else (0, 0) for number in range(image.ndim)]
    padded = jnp.pad(image, pad, mode="edge")

    def mixed(first: int, weights: tuple[float, ...]) -> jax.Array:
        parts = [
            weight * jax.lax.slice_in_dim(padded, first + tap, first + tap + length, axis=axis)
            for tap, weight in enumerate(weights)
        ]
        return sum(parts[1:], start=parts[0])

    # A quarter of a cell before its centre: cells -2 .. 1 of it; behind it: cells -1 .. 2.
    pairs = [mixed(0, _NEAR[::-1]), mixed(1, _NEAR)]
    shape = (*image.shape[:axis], 2 * length, *image.shape[axis + 1 :])
    return jnp.stack(pairs, axis + 1).reshape(shape)
