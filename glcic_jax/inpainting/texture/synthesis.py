"""Texture at one size of a photograph: a pure function of a window around a hole, to be jitted."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np

from glcic_jax.inpainting.texture.labels import choose
from glcic_jax.inpainting.texture.patches import (
    BLOCK,
    NEVER,
    STEP,
    Bands,
    Blocks,
    costs_at,
    cut_blocks,
    describe,
    nearest,
    open_blocks,
    part_bands,
    where_whole,
)
from glcic_jax.inpainting.texture.periods import likely_periods

_OWN, _SHARED = 10, 14
"""Candidates of a block: the nearest sources, and what lies at offsets that serve many blocks."""
_POOL, _LIKELY = 64, 16
"""Offsets of which those are chosen: the best of as many blocks, and at which the image repeats."""
_ROUNDS = 2
"""How often labels are chosen; after the first, what the neighbours chose is a candidate too."""
_AGREEMENT = 0.1
"""Weight of what neighbours differ by where they overlap, beside how near a source is."""
_REPETITION = 0.02
"""Cost of neighbours that take the same pixels, which would be seen as a pattern."""
_SAME_WITHIN = 6
"""Pixels along both axes between sources that count as the same."""
_TOLERANCE = (60 / 255) ** 2
"""Mean squared difference of low frequencies at which half of a source's texture is taken."""
_GAIN = 1.15
"""Of the high frequencies, for what overlapping blocks level out between them."""
_SHARPNESS = 2.0
"""Exponent of a block's sine window; more of a block is seen alone."""
_IMPOSSIBLE = 1 << 20
"""An offset that leads out of every image."""
_PERIODIC = 0.02
"""Share of the variance of the known pixels around, up to which an offset may miss them and still
be a period of the image: then everything is copied at that offset, not high frequencies alone."""


@functools.partial(jax.jit, static_argnames=("around",))
def synthesise(
    image_SxSx3: jax.Array,
    missing_SxS: jax.Array,
    hole_SxS: jax.Array,
    source_SxS: jax.Array,
    around: int,
) -> jax.Array:
    """A completed image with the high frequencies of its surroundings in its hole.

    Args:
        image_SxSx3: float32 in [0, 1], completed.
        missing_SxS: bool, True is no detail to go by: the hole, and others.
        hole_SxS: bool, True is the hole.
        source_SxS: bool, known pixels that may be copied from.
        around: pixels between the border and where holes may be, at least `STEP` (static).

    Returns:
        float32 image_SxSx3 in [0, 1], equal outside the hole.
    """
    bands = part_bands(image_SxSx3, missing_SxS)
    # One block begins before the hole, the last one ends behind it.
    first = jnp.arange(around - STEP, len(image_SxSx3) - around, STEP)
    places = jnp.stack(jnp.meshgrid(first, first, indexing="ij"), -1)
    blocks = open_blocks(bands, missing_SxS, places)
    numbers, is_source = describe(bands), where_whole(source_SxS)
    own = nearest(blocks, numbers, is_source, _OWN)
    open_RxC = blocks.is_open_RxC
    first = jnp.zeros(hole_SxS.shape, bool).at[tuple(jnp.moveaxis(places, -1, 0))].set(open_RxC)
    likely = likely_periods(image_SxSx3, source_SxS, first, is_source, _LIKELY)
    shared, periods = _shared_offsets(blocks, numbers, is_source, own, likely)
    by_offset = blocks.place_RxCx2[:, :, None] + shared
    candidates = jnp.concatenate([own, by_offset], 2)
    bands = bands._replace(high=jnp.where(missing_SxS[..., None], 0.0, bands.high))
    is_open = blocks.is_open_RxC[..., None]
    for _ in range(_ROUNDS):
        candidates = jnp.where(is_open[..., None], candidates, blocks.place_RxCx2[:, :, None])
        offset = candidates - blocks.place_RxCx2[:, :, None]
        repeats = (offset[..., None, :] == periods).all(-1).any(-1)
        cost, of_known = costs_at(blocks, numbers, is_source, candidates)
        cost = jnp.where(is_open, jnp.where(repeats, of_known, cost), 0.0)
        patches = _patches(bands, missing_SxS, blocks, candidates, repeats)
        label = choose(cost, *_pair_costs(patches, candidates, repeats))[..., None]
        gain = jnp.where(jnp.take_along_axis(repeats, label, 2), 1.0, _GAIN)
        patch, chosen = (
            jnp.take_along_axis(x, label.reshape(*label.shape, *(1,) * (x.ndim - 3)), 2)[:, :, 0]
            for x in (patches, candidates)
        )
        gate = gain / (1 + (jnp.take_along_axis(cost, label, 2) / _TOLERANCE) ** 2)
        candidates = jnp.concatenate([candidates, _neighbours(blocks, chosen)], 2)
    texture = _lay(patch * gate[..., None, None], blocks, hole_SxS.shape)
    filled = jnp.clip(bands.low + texture, 0.0, 1.0)
    return jnp.where(hole_SxS[..., None], filled, image_SxSx3)


def _shared_offsets(
    blocks: Blocks,
    numbers: jax.Array,
    is_source: jax.Array,
    own: jax.Array,
    likely_Lx2: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """The offsets, of the best of some blocks and of likely periods, that serve most blocks well:
    int32 (K, 2).

    And the same where the image repeats itself at that offset; impossible offsets elsewhere.
    """
    offset = (own[:, :, 0] - blocks.place_RxCx2).reshape(-1, 2)
    first = costs_at(blocks, numbers, is_source, own[:, :, :1])[0][..., 0]
    rank = jnp.where(blocks.is_open_RxC, first, jnp.inf).reshape(-1)
    _, best = jax.lax.top_k(-rank, min(_POOL, rank.shape[0]))
    pool = jnp.concatenate([likely_Lx2, offset[best]])
    cost, of_known = costs_at(blocks, numbers, is_source, blocks.place_RxCx2[:, :, None] + pool)
    cost = jnp.where(blocks.is_open_RxC[..., None], jnp.minimum(cost, _TOLERANCE), 0.0)
    # Offsets that were found twice count once.
    same = (pool[:, None] == pool[None]).all(-1)
    twice = (same & (jnp.arange(len(pool))[:, None] > jnp.arange(len(pool)))).any(1)
    # What misses next to nothing of all that is known around comes first.
    serves = blocks.is_open_RxC[..., None] & (of_known < NEVER)
    missed = jnp.where(serves, of_known, 0.0).sum((0, 1))
    variance = jnp.where(serves, blocks.variance_RxC[..., None], 0.0).sum((0, 1))
    is_often = serves.sum((0, 1)) > 0.25 * blocks.is_open_RxC.sum()
    repeats = is_often & (missed < _PERIODIC * variance)
    # A period costs less than anything else, and less where it serves more blocks.
    total = jnp.where(repeats, -serves.sum((0, 1)), cost.sum((0, 1)))
    _, kept = jax.lax.top_k(-jnp.where(twice, jnp.inf, total), min(_SHARED, len(pool)))
    return pool[kept], jnp.where(repeats[kept][:, None], pool[kept], _IMPOSSIBLE)


def _neighbours(blocks: Blocks, chosen: jax.Array) -> jax.Array:
    """What the neighbours chose, moved to each block: int32 (R, C, 4, 2)."""
    offset = chosen - blocks.place_RxCx2
    padded = jnp.pad(offset, ((1, 1), (1, 1), (0, 0)), mode="edge")
    around = [padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:]]
    return blocks.place_RxCx2[:, :, None] + jnp.stack(around, 2)


def _patches(
    bands: Bands,
    missing_HxW: jax.Array,
    blocks: Blocks,
    candidates: jax.Array,
    repeats_RxCxK: jax.Array,
) -> jax.Array:
    """What each candidate adds to the block's low frequencies; its own where it is known."""
    place = jnp.clip(candidates, 0, jnp.array(missing_HxW.shape) - BLOCK)
    low = cut_blocks(bands.low, blocks.place_RxCx2)[:, :, None]
    copied = jnp.where(
        repeats_RxCxK[..., None, None, None],
        cut_blocks(bands.image, place) - low,
        cut_blocks(bands.high, place),
    )
    own = cut_blocks(bands.high, blocks.place_RxCx2)[:, :, None]
    missing = cut_blocks(missing_HxW[..., None], blocks.place_RxCx2)[:, :, None]
    return jnp.where(missing, copied, own)


def _pair_costs(
    patches: jax.Array, candidates: jax.Array, repeats_RxCxK: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Of each pair of candidates of neighbours, float32 (R, C, K, K): beside, below.

    By the mean squared difference where both overlap, and by whether they are the same source; a
    period's may be.
    """
    found = []
    for axis in (1, 0):
        halves = [
            jax.lax.slice_in_dim(patches, start, start + STEP, axis=4 if axis else 3)
            for start in (STEP, 0)
        ]
        one, other = (half.reshape(*half.shape[:3], -1) for half in halves)
        other = jnp.roll(other, -1, axis)
        product = jnp.einsum("rckn,rcln->rckl", one, other, precision="highest")
        squares = [jnp.square(half).sum(-1) for half in (one, other)]
        total = squares[0][..., :, None] + squares[1][..., None, :] - 2 * product
        apart = candidates[..., :, None, :] - jnp.roll(candidates, -1, axis)[..., None, :, :]
        periods = repeats_RxCxK[..., :, None] & jnp.roll(repeats_RxCxK, -1, axis)[..., None, :]
        is_same = (jnp.abs(apart).max(-1) < _SAME_WITHIN) & ~periods
        differs = jnp.maximum(total, 0.0) / (BLOCK * STEP)
        found.append(_AGREEMENT * differs + _REPETITION * is_same)
    return found[0], found[1]


def _lay(patch_RxCxPxPx3: jax.Array, blocks: Blocks, shape: tuple[int, ...]) -> jax.Array:
    """Overlapping blocks laid over each other, image_HxWx3."""
    ramp = np.sin(np.pi * (np.arange(BLOCK) + 0.5) / BLOCK) ** (2 * _SHARPNESS)
    window = jnp.asarray((ramp[:, None] * ramp)[..., None], jnp.float32)
    rows = blocks.place_RxCx2[..., 0, None, None] + jnp.arange(BLOCK)[:, None]
    columns = blocks.place_RxCx2[..., 1, None, None] + jnp.arange(BLOCK)
    total = jnp.zeros((*shape, 3)).at[rows, columns].add(patch_RxCxPxPx3 * window)
    weight = jnp.zeros((*shape, 1)).at[rows, columns].add(window)
    return total / jnp.maximum(weight, 1e-6)
