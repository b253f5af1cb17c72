"""Holes that users have drawn themselves: one of a bank of masks for each image.

As in `masks.py`: a mask is float32 0/1, `mask_BxSxSx1`, 1 is the hole, and each image's hole
follows from its own typed key alone. The bank is uint8 `cover_NxSxS`, the share of each pixel that
the hole covers, of 255; `data/mask_folder.py` reads it.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.scipy.ndimage import map_coordinates

from glcic_jax.imaging.masks import split_keys, uniform_int

LEAST_COVER = 102
"""Of 255, from which on a pixel is missing. Under a half, so that thin lines do not break up."""


def moved_masks(
    keys_B: jax.Array, cover_NxSxS: jax.Array, scales: tuple[float, float], max_turn: float
) -> jax.Array:
    """A mask of the bank for each image: scaled, mirrored, turned and placed at random.

    What a turn would push over the border is cut off; at least one pixel of the hole stays.

    Args:
        keys_B: typed keys of shape (B,).
        cover_NxSxS: uint8, the bank.
        scales: smallest and largest side of the mask, as shares of the image side; at most 1.
        max_turn: largest rotation to either side in degrees.
    """
    which_keys_B, move_keys_B = split_keys(keys_B)
    which_B = uniform_int(which_keys_B, (1,), 0, len(cover_NxSxS))[:, 0]

    def one(key: jax.Array, which: jax.Array) -> jax.Array:
        return _moved(key, cover_NxSxS[which], scales, max_turn)

    return jax.vmap(one)(move_keys_B, which_B)[..., None].astype(jnp.float32)


def unmoved_masks(keys_B: jax.Array, cover_NxSxS: jax.Array) -> jax.Array:
    """A mask of the bank for each image as it is, the one that `moved_masks` would move."""
    which_keys_B, _ = split_keys(keys_B)
    which_B = uniform_int(which_keys_B, (1,), 0, len(cover_NxSxS))[:, 0]
    return (cover_NxSxS[which_B] >= LEAST_COVER)[..., None].astype(jnp.float32)


def _moved(
    key: jax.Array, cover_SxS: jax.Array, scales: tuple[float, float], max_turn: float
) -> jax.Array:
    """bool hole_SxS."""
    size = cover_SxS.shape[0]
    scale_key, flip_key, turn_key, place_key = jax.random.split(key, 4)
    scale = scales[0] + (scales[1] - scales[0]) * jax.random.uniform(scale_key)
    sign = jnp.where(jax.random.bernoulli(flip_key), -1.0, 1.0)
    angle = jnp.deg2rad(max_turn * (2 * jax.random.uniform(turn_key) - 1))
    cosine, sine = jnp.cos(angle), jnp.sin(angle)
    middle = (size - 1) / 2
    centre_2 = middle + (jax.random.uniform(place_key, (2,)) - 0.5) * size * (1 - scale)

    place_S = jnp.arange(size)
    y_Sx1, x_1xS = (place_S - centre_2[0])[:, None], (place_S - centre_2[1])[None]
    source = (
        (cosine * y_Sx1 + sine * x_1xS) / scale + middle,
        sign * (cosine * x_1xS - sine * y_Sx1) / scale + middle,
    )
    found_SxS = map_coordinates(cover_SxS.astype(jnp.float32), source, order=1, mode="constant")
    hole_SxS = found_SxS >= LEAST_COVER

    # Where the mask's most covered pixel came to lie, for a hole that would be lost otherwise.
    row, column = jnp.unravel_index(jnp.argmax(cover_SxS), cover_SxS.shape)
    up, along = row - middle, sign * (column - middle)
    place_2 = centre_2 + scale * jnp.stack([cosine * up - sine * along, sine * up + cosine * along])
    row, column = jnp.clip(jnp.round(place_2).astype(jnp.int32), 0, size - 1)
    return hole_SxS.at[row, column].set(hole_SxS[row, column] | ~jnp.any(hole_SxS))
