"""Holes to fill, and the local window around them: pure functions of random keys, to be jitted.

A mask is float32 0/1, `mask_BxSxSx1`, and 1 marks the hole. Every function that draws takes one
typed key for each image (`keys_B`), so that an image's hole depends on its own key alone: not on
the batch it is in, nor on how many devices share the batch.
"""

from __future__ import annotations

from typing import Literal

import jax
import jax.numpy as jnp

_STROKE_VERTICES = 8


def rectangle_masks(
    keys_B: jax.Array,
    image_size: int,
    sides: tuple[int, int],
    side_scale: Literal["uniform", "logarithmic"] = "uniform",
) -> jax.Array:
    """One rectangle an image, anywhere in it.

    Args:
        keys_B: typed keys of shape (B,).
        image_size: side S of the image in pixels.
        sides: shortest and longest side in pixels, both inclusive.
        side_scale: uniform: drawn for each axis alone. logarithmic: their mean is log-uniform, and
            one is at most twice as long as the other, where neither is cut off by `sides`.
    """
    noise_Bx4 = uniform(keys_B, (4,))
    if side_scale == "uniform":
        side_Bx2 = _to_int(noise_Bx4[:, :2], sides[0], sides[1] + 1)
    else:
        mean_Bx1 = sides[0] * ((sides[1] + 1) / sides[0]) ** noise_Bx4[:, :1]
        aspect_Bx1 = jnp.exp2(noise_Bx4[:, 1:2] - 0.5)
        side_Bx2 = jnp.concatenate([mean_Bx1 * aspect_Bx1, mean_Bx1 / aspect_Bx1], -1)
        side_Bx2 = jnp.clip(side_Bx2.astype(jnp.int32), *sides)
    start_Bx2 = _to_int(noise_Bx4[:, 2:], 0, image_size - side_Bx2 + 1)
    return filled_rectangles(start_Bx2, side_Bx2, image_size)


def several_rectangle_masks(
    keys_B: jax.Array,
    image_size: int,
    sides: tuple[int, int],
    counts: tuple[int, int],
    region_Bx2: jax.Array,
    region_side: int,
) -> jax.Array:
    """Several rectangles an image, which may overlap, inside a square region.

    The sides shrink by the square root of the count, so that many holes miss about as much of the
    image as one.

    Args:
        keys_B: typed keys of shape (B,).
        image_size: side S of the image in pixels.
        sides: shortest and longest side of a single rectangle in pixels, both inclusive.
        counts: fewest and most rectangles, both inclusive.
        region_Bx2: top and left of each image's region.
        region_side: side of the regions; at least `sides[1]`.
    """
    count_keys_B, size_keys_B, place_keys_B = split_keys(keys_B, 3)
    most = counts[1]
    count_Bx1 = uniform_int(count_keys_B, (1,), counts[0], counts[1] + 1)
    side_BxNx2 = uniform_int(size_keys_B, (most, 2), sides[0], sides[1] + 1)
    shrink_Bx1x1 = jnp.sqrt(count_Bx1.astype(jnp.float32))[..., None]
    side_BxNx2 = jnp.maximum(jnp.round(side_BxNx2 / shrink_Bx1x1).astype(jnp.int32), 1)
    start_BxNx2 = uniform_int(place_keys_B, (most, 2), 0, region_side - side_BxNx2 + 1)
    drawn_BxN = jnp.arange(most) < count_Bx1
    side_BxNx2 = side_BxNx2 * drawn_BxN[..., None]
    mask_BxNxSxSx1 = filled_rectangles(start_BxNx2 + region_Bx2[:, None], side_BxNx2, image_size)
    return jnp.max(mask_BxNxSxSx1, axis=1)


def freeform_masks(
    keys_B: jax.Array,
    image_size: int,
    brush: tuple[float, float],
    counts: tuple[int, int],
    region_Bx2: jax.Array,
    region_side: int,
) -> jax.Array:
    """Brush strokes: thick polylines that wander through a square region.

    Each stroke starts anywhere in the region and takes steps of up to a quarter of its side in a
    direction that turns at each vertex and is mirrored by the region's border, after the free-form
    masks of Yu et al. 2019 ("Free-Form Image Inpainting with Gated Convolution"). At least the
    start of the first stroke is always missing.

    Args:
        keys_B: typed keys of shape (B,).
        image_size: side S of the image in pixels.
        brush: thinnest and thickest stroke in pixels.
        counts: fewest and most strokes, both inclusive.
        region_Bx2: top and left of each image's region.
        region_side: side of the regions in pixels.
    """
    batch, most = keys_B.shape[0], counts[1]
    count_Bx1 = uniform_int(_fold(keys_B, 0), (1,), counts[0], counts[1] + 1)
    point_BxNx2 = uniform(_fold(keys_B, 1), (most, 2)) * (region_side - 1)
    angle_BxN = uniform(_fold(keys_B, 2), (most,)) * 2 * jnp.pi
    radius_BxN = 0.5 * (brush[0] + uniform(_fold(keys_B, 3), (most,)) * (brush[1] - brush[0]))
    turn_VxBxN = jnp.moveaxis(uniform(_fold(keys_B, 4), (_STROKE_VERTICES, most)), 1, 0) - 0.5
    length_VxBxN = jnp.moveaxis(uniform(_fold(keys_B, 5), (_STROKE_VERTICES, most)), 1, 0)
    drawn_BxN = jnp.arange(most) < count_Bx1
    # A radius below half a pixel's diagonal could fall between all pixel centres.
    radius_BxN = jnp.where(drawn_BxN, jnp.maximum(radius_BxN, 0.75), -1.0)

    def segment(carry, random):
        mask_BxSxS, point_BxNx2, angle_BxN = carry
        turn_BxN, length_BxN = random
        angle_BxN = angle_BxN + turn_BxN * jnp.pi
        way_BxNx2 = jnp.stack([jnp.sin(angle_BxN), jnp.cos(angle_BxN)], -1)
        step_BxNx2 = way_BxNx2 * (length_BxN * region_side / 4)[..., None]
        end_BxNx2 = point_BxNx2 + step_BxNx2
        outside_BxNx2 = (end_BxNx2 < 0) | (end_BxNx2 > region_side - 1)
        step_BxNx2 = jnp.where(outside_BxNx2, -step_BxNx2, step_BxNx2)
        end_BxNx2 = jnp.clip(point_BxNx2 + step_BxNx2, 0, region_side - 1)
        angle_BxN = jnp.arctan2(step_BxNx2[..., 0], step_BxNx2[..., 1])
        for stroke in range(most):
            distance_BxSxS = _distance_to_segment(
                point_BxNx2[:, stroke] + region_Bx2, end_BxNx2[:, stroke] + region_Bx2, image_size
            )
            hit_BxSxS = distance_BxSxS <= radius_BxN[:, stroke, None, None]
            mask_BxSxS = mask_BxSxS | hit_BxSxS
        return (mask_BxSxS, end_BxNx2, angle_BxN), None

    empty_BxSxS = jnp.zeros((batch, image_size, image_size), bool)
    (mask_BxSxS, _, _), _ = jax.lax.scan(
        segment, (empty_BxSxS, point_BxNx2, angle_BxN), (turn_VxBxN, length_VxBxN)
    )
    region_BxSxSx1 = _square(region_Bx2, region_side, image_size)
    return mask_BxSxS[..., None] * region_BxSxSx1


def pixel_masks(
    keys_B: jax.Array,
    image_size: int,
    missing: tuple[float, float],
    region_Bx2: jax.Array,
    region_side: int,
) -> jax.Array:
    """Single missing pixels in a square region; the share that is missing varies by image.

    Args:
        keys_B: typed keys of shape (B,).
        image_size: side S of the image in pixels.
        missing: smallest and largest expected share of the region that is missing.
        region_Bx2: top and left of each image's region.
        region_side: side of the regions in pixels.
    """
    share_keys_B, pixel_keys_B = split_keys(keys_B)
    share_Bx1 = missing[0] + uniform(share_keys_B, (1,)) * (missing[1] - missing[0])
    noise_BxSxSx1 = uniform(pixel_keys_B, (image_size, image_size, 1))
    region_BxSxSx1 = _square(region_Bx2, region_side, image_size)
    return (noise_BxSxSx1 < share_Bx1[..., None, None]) * region_BxSxSx1


def filled_rectangles(corner_Bx2: jax.Array, side_Bx2: jax.Array, image_size: int) -> jax.Array:
    """Rectangles at given places as float32 mask_BxSxSx1.

    Args:
        corner_Bx2: integers, top and left; B stands for any number of axes.
        side_Bx2: integers, height and width. With 0 a rectangle has no pixel.
        image_size: side S of the image in pixels.
    """
    place_S = jnp.arange(image_size)
    end_Bx2 = corner_Bx2 + side_Bx2
    inside_Bx2xS = (place_S >= corner_Bx2[..., None]) & (place_S < end_Bx2[..., None])
    row_BxSx1, column_Bx1xS = inside_Bx2xS[..., 0, :, None], inside_Bx2xS[..., 1, None, :]
    return (row_BxSx1 & column_Bx1xS)[..., None].astype(jnp.float32)


def local_windows(keys_B: jax.Array, mask_BxSxSx1: jax.Array, window: int) -> jax.Array:
    """A random window that contains the hole of each image (GLCIC, section 3.2).

    Args:
        keys_B: typed keys of shape (B,).
        mask_BxSxSx1: the holes. Where one is larger than the window, the window lies inside the
            hole's bounding box; where there is none, it lies anywhere.
        window: side of the window in pixels, at most S.

    Returns:
        int32 corner_Bx2: top and left of the windows, all of them inside the image.
    """
    size = mask_BxSxSx1.shape[1]
    hole_BxSxS = mask_BxSxSx1[..., 0] > 0.5
    used_Bx2xS = jnp.stack([jnp.any(hole_BxSxS, 2), jnp.any(hole_BxSxS, 1)], 1)
    first_Bx2 = jnp.argmax(used_Bx2xS, -1)
    end_Bx2 = size - jnp.argmax(used_Bx2xS[..., ::-1], -1)
    low_Bx2 = jnp.maximum(jnp.minimum(first_Bx2, end_Bx2 - window), 0)
    high_Bx2 = jnp.minimum(jnp.maximum(first_Bx2, end_Bx2 - window), size - window)
    empty_Bx1 = ~jnp.any(hole_BxSxS, (1, 2))[:, None]
    low_Bx2 = jnp.where(empty_Bx1, 0, low_Bx2)
    high_Bx2 = jnp.where(empty_Bx1, size - window, high_Bx2)
    return uniform_int(keys_B, (2,), low_Bx2, high_Bx2 + 1)


def crop(image_BxHxWxC: jax.Array, corner_Bx2: jax.Array, window: int) -> jax.Array:
    """Cut image_BxPxPxC out of each image, P = `window`, at int32 corner_Bx2 (top, left)."""

    def one(image_HxWxC, corner_2):
        start = (corner_2[0], corner_2[1], 0)
        return jax.lax.dynamic_slice(image_HxWxC, start, (window, window, image_HxWxC.shape[-1]))

    return jax.vmap(one)(image_BxHxWxC, corner_Bx2)


# --- Building blocks ------------------------------------------------------------------------


def split_keys(keys_B: jax.Array, count: int = 2) -> tuple[jax.Array, ...]:
    """`count` arrays of typed keys of shape (B,), as of `jax.random.split`."""
    keys_NxB = jax.vmap(lambda key: jax.random.split(key, count), out_axes=1)(keys_B)
    return tuple(keys_NxB)


def _fold(keys_B: jax.Array, number: int) -> jax.Array:
    return jax.vmap(lambda key: jax.random.fold_in(key, number))(keys_B)


def uniform(keys_B: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Float32 in [0, 1) of shape (B, *shape)."""
    return jax.vmap(lambda key: jax.random.uniform(key, shape))(keys_B)


def _square(corner_Bx2: jax.Array, side: int, image_size: int) -> jax.Array:
    return filled_rectangles(corner_Bx2, jnp.full_like(corner_Bx2, side), image_size)


def uniform_int(keys_B: jax.Array, shape: tuple[int, ...], low, end) -> jax.Array:
    """int32 in [low, end) of shape (B, *shape); the bounds broadcast against that shape."""
    return _to_int(uniform(keys_B, shape), low, end)


def _to_int(noise: jax.Array, low, end) -> jax.Array:
    """Floats in [0, 1) to int32 in [low, end).

    `jax.random.randint` draws twice as many bits to even out ranges near 2**32; these are at most
    an image side long.
    """
    span = jnp.asarray(end - low)
    return low + jnp.minimum((noise * span).astype(jnp.int32), span - 1)


def _distance_to_segment(start_Bx2: jax.Array, end_Bx2: jax.Array, image_size: int) -> jax.Array:
    """Distance of every pixel's centre from a line segment, distance_BxSxS, in pixels."""
    place_S = jnp.arange(image_size, dtype=jnp.float32)
    along_Bx2 = end_Bx2 - start_Bx2
    length2_B = jnp.maximum(jnp.sum(along_Bx2**2, -1), 1e-6)
    y_BxSx1 = place_S[:, None] - start_Bx2[:, 0, None, None]
    x_Bx1xS = place_S[None, :] - start_Bx2[:, 1, None, None]
    along_y, along_x = along_Bx2[:, 0, None, None], along_Bx2[:, 1, None, None]
    share = (y_BxSx1 * along_y + x_Bx1xS * along_x) / length2_B[:, None, None]
    share = jnp.clip(share, 0.0, 1.0)
    return jnp.hypot(y_BxSx1 - share * along_y, x_Bx1xS - share * along_x)
