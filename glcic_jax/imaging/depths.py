"""How deep holes are, and at which size each is completed first: pure functions, to be jitted.

The depth of a pixel is the Chebyshev distance to the nearest known one, so 1 at the rim; what lies
outside an image is not known. A hole is what hangs together, diagonally too, and as deep as its
deepest pixel. `inpainting/stages.py` says the same of whole photographs, on the host.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np

_NOWHERE = np.iinfo(np.int32).max
SMALLEST = 16
"""Shorter side in pixels of the smallest size at which anything is completed."""


def most_halvings(height: int, width: int, deepest: float) -> int:
    """How often an image may be halved; 0 where `deepest` is 0, no limit."""
    if deepest == 0:
        return 0
    most = int(math.log2(max(min(height, width) // SMALLEST, 1)))
    return min(most, halvings(max(height, width), deepest))


def halvings(depth: float, deepest: float) -> int:
    """How often an image is halved until a hole of some depth is at most `deepest` pixels deep."""
    return max(0, math.ceil(math.log2(depth / deepest))) if depth > 0 else 0


def hole_stages(mask_BxHxWx1: jax.Array, deepest: float, most: int) -> jax.Array:
    """For each hole the number of halvings after which the network completes it first.

    Args:
        mask_BxHxWx1: float32, 1 is the hole.
        deepest: depth in pixels up to which no halving is needed; above 0.
        most: most halvings.

    Returns:
        int32 stage_BxHxWx1: 1 + halvings in holes, 0 elsewhere.
    """
    hole_BxHxW = mask_BxHxWx1[..., 0] > 0.5
    stage_BxHxW = hole_BxHxW.astype(jnp.int32)
    for number in range(most):
        # Deeper than d: a square of 2 floor(d) + 1 pixels around it is all hole.
        core = _erode(hole_BxHxW, math.floor(deepest * 2**number))
        stage_BxHxW = jnp.where(_flood(core, hole_BxHxW), number + 2, stage_BxHxW)
    return stage_BxHxW[..., None]


def halve_stages(stage_BxHxWx1: jax.Array, mask_Bxhxwx1: jax.Array) -> jax.Array:
    """`hole_stages` at half the size, whose hole is given: stage_Bxhxwx1."""
    batch, height, width, _ = stage_BxHxWx1.shape
    cells = stage_BxHxWx1.reshape(batch, height // 2, 2, width // 2, 2, 1)
    return jnp.where(mask_Bxhxwx1 > 0.5, cells.max((2, 4)), 0)


def _erode(hole_BxHxW: jax.Array, radius: int) -> jax.Array:
    """Where all pixels up to `radius` away, along rows and columns, are hole or outside."""
    hole = hole_BxHxW
    for axis in (1, 2):
        length = hole.shape[axis]
        span = min(radius, length - 1) if isinstance(length, int) else radius
        window = [1, 1, 1]
        window[axis] = 2 * span + 1
        padding = [(0, 0)] * 3
        padding[axis] = (span, span)
        hole = jax.lax.reduce_window(
            hole, np.True_, jax.lax.bitwise_and, window, (1, 1, 1), padding
        )
    return hole


def _flood(seeds_BxHxW: jax.Array, hole_BxHxW: jax.Array) -> jax.Array:
    """All of each hole that holds a seed."""

    def run(seeds: jax.Array, axis: int, *, reverse: bool) -> jax.Array:
        # A pixel is reached if a seed lies nearer than a known pixel, looking back along the axis.
        place = jax.lax.broadcasted_iota(jnp.int32, seeds.shape, axis)
        last, nothing = (jax.lax.cummin, _NOWHERE) if reverse else (jax.lax.cummax, -1)
        seed = last(jnp.where(seeds, place, nothing), axis, reverse=reverse)
        known = last(jnp.where(hole_BxHxW, nothing, place), axis, reverse=reverse)
        return hole_BxHxW & (seed < known if reverse else seed > known)

    def spread(carry):
        seeds, _ = carry
        window, padding = (1, 3, 3), ((0, 0), (1, 1), (1, 1))
        near = jax.lax.reduce_window(
            seeds, np.False_, jax.lax.bitwise_or, window, (1, 1, 1), padding
        )
        reached = near & hole_BxHxW
        for axis in (1, 2):
            reached = run(reached, axis, reverse=False) | run(reached, axis, reverse=True)
        return reached, jnp.any(reached != seeds)

    seeds, _ = jax.lax.while_loop(
        lambda carry: carry[1], spread, (seeds_BxHxW, jnp.any(seeds_BxHxW))
    )
    return seeds
