"""Offsets at which an image repeats itself: pure functions, to be jitted."""

from __future__ import annotations

import jax
import jax.numpy as jnp

_MISSED = 0.04
"""Share of the variance up to which an offset may miss what is known; who uses the offset looks at
the blocks of a hole once more."""
_LEAST_SHARED = 0.1
"""Share of the known pixels that must be known at the offset too."""


def likely_periods(
    image_SxSx3: jax.Array,
    known_SxS: jax.Array,
    first_SxS: jax.Array,
    source_NxN: jax.Array,
    count: int,
) -> jax.Array:
    """The offsets at which the known pixels repeat, those first that serve most blocks.

    All offsets are compared at once, by correlations of the whole image. (Copying a hole at a few
    offsets that dominate in an image: He & Sun, ECCV 2012.)

    Args:
        image_SxSx3: float32.
        known_SxS: bool, the pixels that are compared.
        first_SxS: bool, first pixels of the blocks that are to be filled.
        source_NxN: bool, first pixels of the blocks that may be copied, N at most S.
        count: how many offsets, even (static).

    Returns:
        int32 offset_Kx2, of rows and columns; (0, 0) where there are no more.
    """
    side = len(image_SxSx3)
    known = known_SxS.astype(jnp.float32)
    share = jnp.maximum(known.sum(), 1.0)
    mean_3 = jnp.einsum("hwc,hw->c", image_SxSx3, known) / share
    image = (image_SxSx3 - mean_3) * known[..., None]
    energy = jnp.square(image).sum(-1)
    variance = energy.sum() / share

    images = [known, energy, first_SxS, source_NxN, *jnp.moveaxis(image, -1, 0)]
    known_f, energy_f, first_f, source_f, *image_f = (
        jnp.fft.rfft2(x.astype(jnp.float32), (2 * side, 2 * side)) for x in images
    )

    def correlate(one: jax.Array, other: jax.Array) -> jax.Array:
        """Sums over all pixels p of one(p) * other(p + offset)."""
        return jnp.fft.irfft2(jnp.conj(one) * other, (2 * side, 2 * side))

    shared = correlate(known_f, known_f)
    squares = correlate(energy_f, known_f) + correlate(known_f, energy_f)
    products = sum(correlate(x, x) for x in image_f)
    missed = jnp.where(
        shared > _LEAST_SHARED * share, (squares - 2 * products) / jnp.maximum(shared, 1), jnp.inf
    )
    around = [jnp.roll(missed, (i, j), (0, 1)) for i in (-1, 0, 1) for j in (-1, 0, 1)]
    is_period = (missed <= jnp.stack(around).min(0)) & (missed < _MISSED * variance)
    serves = jnp.where(is_period, jnp.round(correlate(first_f, source_f)), 0.0)

    found = []
    for axis in (0, 1):  # the best of the best of each row, and of each column
        best, place = serves.max(1 - axis), serves.argmax(1 - axis)
        most, line = jax.lax.top_k(best, count // 2)
        pair = jnp.stack([line, place[line]][:: 1 - 2 * axis], -1)
        # Beyond the middle are the negative offsets.
        pair = jnp.where(pair < side, pair, pair - 2 * side)
        found.append(jnp.where(most[:, None] > 0, pair, 0))
    return jnp.concatenate(found).astype(jnp.int32)
