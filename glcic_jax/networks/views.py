"""Mirrored views of an image, whose completions are averaged.

A network trained on pictures and their mirror images still answers each a little differently; the
mean of its answers has a smaller error than any of them (geometric self-ensemble: Lim et al. 2017,
arXiv:1707.02921, section 3.4). View 0 is the image itself, 1 is turned by half a turn, 2 is upside
down, 3 mirrored from left to right. All have the image's shape, so they run as one batch.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

FLIPPED: tuple[tuple[int, ...], ...] = ((), (1, 2), (1,), (2,))
"""Axes of image_BxHxWxC along which each view is flipped."""


def stack_views(x_BxHxWxC: jax.Array, views: int) -> jax.Array:
    """The first `views` views, one after the other: x_(views*B)xHxWxC."""
    if views == 1:
        return x_BxHxWxC
    return jnp.concatenate([jnp.flip(x_BxHxWxC, axes) for axes in FLIPPED[:views]])


def mean_of_views(y_VBxHxWxC: jax.Array, views: int) -> jax.Array:
    """The mean y_BxHxWxC of what belongs to `stack_views`, each flipped back."""
    if views == 1:
        return y_VBxHxWxC
    parts = jnp.split(y_VBxHxWxC, views)
    flipped = (jnp.flip(part, axes) for part, axes in zip(parts, FLIPPED, strict=False))
    return sum(flipped, start=jnp.zeros((), y_VBxHxWxC.dtype)) / views


def corners_of_views(
    corner_Bx2: jax.Array, cells_Bx2: jax.Array, side_2: tuple[int, int], views: int
) -> jax.Array:
    """Where the views of windows lie in the views of their images: corner_(views*B)x2.

    Args:
        corner_Bx2: int32, first row and column of each window in its image.
        cells_Bx2: int32, height and width of the image.
        side_2: height and width of a window, in the same units.
        views: how many.
    """
    flipped_Bx2 = cells_Bx2 - corner_Bx2 - jnp.asarray(side_2, corner_Bx2.dtype)
    is_flipped = [jnp.array([1 in axes, 2 in axes]) for axes in FLIPPED[:views]]
    return jnp.concatenate([jnp.where(which, flipped_Bx2, corner_Bx2) for which in is_flipped])
