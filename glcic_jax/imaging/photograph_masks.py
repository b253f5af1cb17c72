"""Holes as photographs have them: blobs, specks, and lettering; pure functions, to be jitted.

As in `masks.py`: a mask is float32 0/1, `mask_BxSxSx1`, 1 is the hole, and each image's hole
follows from its own typed key alone. Lengths are in pixels.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp

_HARMONICS = 4
_STROKES = 3
"""Straight strokes of a letter."""


def blob_masks(keys_B: jax.Array, image_size: int, diameters: tuple[float, float]) -> jax.Array:
    """One round, irregular hole an image, anywhere in it.

    The outline is a circle whose radius swings with the angle: a sum of harmonics of random size
    and phase, the higher the smaller.

    Args:
        keys_B: typed keys of shape (B,).
        image_size: side S of the image.
        diameters: smallest and largest mean diameter; log-uniform, so small ones are not rare.
    """

    def one(key: jax.Array) -> jax.Array:
        place_key, size_key, wave_key = jax.random.split(key, 3)
        diameter = _log_uniform(size_key, *diameters)
        centre_2 = jax.random.uniform(place_key, (2,)) * image_size
        size_K, phase_K = jax.random.uniform(wave_key, (2, _HARMONICS))
        order_K = jnp.arange(1, _HARMONICS + 1)
        y_SxS, x_SxS = _offsets(centre_2, image_size)
        angle_SxSx1 = jnp.arctan2(y_SxS, x_SxS)[..., None]
        swing_SxSxK = jnp.cos(order_K * angle_SxSx1 + 2 * jnp.pi * phase_K) * size_K / order_K
        radius_SxS = 0.5 * diameter * (1 + 0.4 * swing_SxSxK.sum(-1))
        return _with_a_pixel(jnp.hypot(y_SxS, x_SxS) <= radius_SxS, centre_2)

    return jax.vmap(one)(keys_B)


def speck_masks(
    keys_B: jax.Array, image_size: int, sides: tuple[int, int], counts: tuple[int, int]
) -> jax.Array:
    """Dust: some small boxes and discs an image, anywhere in it, which may overlap.

    Args:
        keys_B: typed keys of shape (B,).
        image_size: side S of the image.
        sides: shortest and longest side or diameter, both inclusive.
        counts: fewest and most, both inclusive.
    """
    most = counts[1]

    def one(key: jax.Array) -> jax.Array:
        count_key, side_key, place_key, shape_key = jax.random.split(key, 4)
        count = jax.random.randint(count_key, (), counts[0], counts[1] + 1)
        side_Nx2 = jax.random.randint(side_key, (most, 2), sides[0], sides[1] + 1)
        start_Nx2 = jnp.floor(
            jax.random.uniform(place_key, (most, 2)) * (image_size - side_Nx2 + 1)
        )
        is_round_N = jax.random.bernoulli(shape_key, 0.5, (most,))
        place_S = jnp.arange(image_size)
        # Distance from the middle along each axis, in half sides: at most 1 inside the box.
        middle_Nx2, half_Nx2 = start_Nx2 + (side_Nx2 - 1) / 2, side_Nx2 / 2
        away_Nx2xS = (place_S - middle_Nx2[..., None]) / half_Nx2[..., None]
        y_NxSx1, x_Nx1xS = away_Nx2xS[:, 0, :, None], away_Nx2xS[:, 1, None, :]
        box_NxSxS = (jnp.abs(y_NxSx1) < 1) & (jnp.abs(x_Nx1xS) < 1)
        disc_NxSxS = y_NxSx1**2 + x_Nx1xS**2 < 1
        hole_NxSxS = jnp.where(is_round_N[:, None, None], disc_NxSxS, box_NxSxS)
        drawn_Nx1x1 = (jnp.arange(most) < count)[:, None, None]
        return jnp.any(hole_NxSxS & drawn_Nx1x1, 0)[..., None].astype(jnp.float32)

    return jax.vmap(one)(keys_B)


def lettering_masks(keys_B: jax.Array, image_size: int, heights: tuple[float, float]) -> jax.Array:
    """One line of letters an image, as a caption or a date stamp, slightly turned.

    A letter is three straight strokes between random points of its box, a sixth of its height
    thick: like writing in width, spacing and direction, not meant to be read.

    Args:
        keys_B: typed keys of shape (B,).
        image_size: side S of the image.
        heights: smallest and largest height of the letters; log-uniform.
    """
    # As many as fill the image at the smallest height; those beyond the border show nothing.
    letters = max(1, math.ceil(image_size / (0.8 * heights[0])))

    def one(key: jax.Array) -> jax.Array:
        size_key, place_key, turn_key, point_key = jax.random.split(key, 4)
        height = _log_uniform(size_key, *heights)
        middle_2 = (0.15 + 0.7 * jax.random.uniform(place_key, (2,))) * image_size
        turn = (jax.random.uniform(turn_key) - 0.5) * 0.6
        corner_Lx1x2 = jnp.stack(
            [jnp.zeros(letters), 0.8 * (jnp.arange(letters) - (letters - 1) / 2)], -1
        )[:, None]
        points_LxPx2 = jax.random.uniform(point_key, (letters, _STROKES + 1, 2))
        points_LxPx2 = corner_Lx1x2 + (points_LxPx2 - 0.5) * jnp.array([1.0, 0.6])
        cosine, sine = jnp.cos(turn), jnp.sin(turn)
        turned = points_LxPx2 @ jnp.array([[cosine, sine], [-sine, cosine]])
        points_LxPx2 = middle_2 + height * turned
        start_Nx2 = points_LxPx2[:, :-1].reshape(-1, 2)
        end_Nx2 = points_LxPx2[:, 1:].reshape(-1, 2)
        thick = jnp.maximum(height / 12, 0.75)

        def stroke(hole_SxS: jax.Array, ends: tuple[jax.Array, jax.Array]):
            return hole_SxS | (_distance_to_segment(*ends, image_size) <= thick), None

        empty_SxS = jnp.zeros((image_size, image_size), bool)
        hole_SxS, _ = jax.lax.scan(stroke, empty_SxS, (start_Nx2, end_Nx2))
        return _with_a_pixel(hole_SxS, middle_2)

    return jax.vmap(one)(keys_B)


# --- Building blocks ----------------------------------------------------------------------------


def _log_uniform(key: jax.Array, low: float, high: float) -> jax.Array:
    return low * (high / low) ** jax.random.uniform(key)


def _offsets(centre_2: jax.Array, image_size: int) -> tuple[jax.Array, jax.Array]:
    """Rows and columns from a point to every pixel's centre: y_SxS and x_SxS."""
    place_S = jnp.arange(image_size) + 0.5
    y_SxS = jnp.broadcast_to((place_S - centre_2[0])[:, None], (image_size, image_size))
    return y_SxS, jnp.broadcast_to(place_S - centre_2[1], (image_size, image_size))


def _with_a_pixel(hole_SxS: jax.Array, place_2: jax.Array) -> jax.Array:
    """mask_SxSx1 in which at least the pixel at `place_2` is missing."""
    size = hole_SxS.shape[0]
    row, column = jnp.clip(place_2.astype(jnp.int32), 0, size - 1)
    return hole_SxS.at[row, column].set(True)[..., None].astype(jnp.float32)


def _distance_to_segment(start_2: jax.Array, end_2: jax.Array, image_size: int) -> jax.Array:
    y_SxS, x_SxS = _offsets(start_2, image_size)
    along_2 = end_2 - start_2
    share_SxS = (y_SxS * along_2[0] + x_SxS * along_2[1]) / jnp.maximum(jnp.sum(along_2**2), 1e-6)
    share_SxS = jnp.clip(share_SxS, 0, 1)
    return jnp.hypot(y_SxS - share_SxS * along_2[0], x_SxS - share_SxS * along_2[1])
