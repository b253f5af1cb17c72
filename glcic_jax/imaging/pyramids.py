"""Photographs of any size in one buffer with a chain of halved sizes, and crops cut out of it.

A crop of any scale costs the same: it is read from the smallest level that has at least its pixels,
so never more than four for each of its own. Everything is a pure function of a key, to be jitted:
training cuts its crops inside the compiled step.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

_REACH = 2
"""The cubic kernel reaches so many output pixels to either side."""
_SHARPNESS = -0.5
"""Keys's parameter of the cubic kernel, and Pillow's."""


class Pyramids(NamedTuple):
    """N photographs, each at L sizes, the first one its own; a pytree of arrays.

    Attributes:
        pixels_Px3: uint8, the rows of all levels of all photographs, one after the other.
        place_NxLx3: int32, of each level: the number of its first pixel, its height, its width.
            A photograph that has fewer levels than L repeats its smallest.
    """

    pixels_Px3: np.ndarray | jax.Array
    place_NxLx3: np.ndarray | jax.Array


def count_pixels(height: int, width: int, smallest: int) -> int:
    """Pixels of all levels of one photograph, see `build_pyramids`."""
    return sum(rows * columns for rows, columns in _sizes(height, width, smallest))


def build_pyramids(
    photos: Iterable[np.ndarray], sizes: Sequence[tuple[int, int]], smallest: int
) -> Pyramids:
    """Halve every photograph as often as its shorter side stays at least `smallest` pixels.

    A pixel of a level is the rounded mean of four of the level before; an odd last row or column is
    left out.

    Args:
        photos: uint8 image_HxWx3 each, at least one; looked at one by one.
        sizes: height and width of each, in order.
        smallest: shortest side of the smallest level, in pixels; of a photograph that is smaller
            only its own size is kept.
    """
    chains = [_sizes(height, width, smallest) for height, width in sizes]
    most = max(map(len, chains))
    pixels_Px3 = np.empty((sum(rows * columns for c in chains for rows, columns in c), 3), np.uint8)
    places, start = [], 0
    for photo_HxWx3, chain in zip(photos, chains, strict=True):
        place: list[tuple[int, int, int]] = []
        level = photo_HxWx3
        for height, width in chain:
            level = _halve(level) if place else level
            pixels_Px3[start : start + height * width] = level.reshape(-1, 3)
            place.append((start, height, width))
            start += height * width
        places.append(place + place[-1:] * (most - len(place)))
    return Pyramids(pixels_Px3, np.array(places, np.int32))


def cut_crops(
    keys_B: jax.Array,
    pyramids: Pyramids,
    index_B: jax.Array,
    image_size: int,
    scales: tuple[float, float],
) -> jax.Array:
    """One random crop of each named photograph.

    The crop shows what it would if the photograph were resized until its shortest edge has `edge`
    pixels, with `edge / image_size` log-uniform in `scales` and never more than the photograph's
    own shortest edge, and then a square of `image_size` pixels were cut out of it anywhere. The
    resize is Pillow's bicubic one with antialiasing (Keys 1981 with a = -1/2, widened).

    Args:
        keys_B: typed keys of shape (B,); a crop depends on its own key alone.
        pyramids: the photographs.
        index_B: int32, which photograph each crop is of.
        image_size: side S of the crops in pixels.
        scales: smallest and largest shortest edge, in units of `image_size`; the first at least 1.

    Returns:
        uint8 image_BxSxSx3.
    """

    pixels_Px3, place_NxLx3 = map(jnp.asarray, pyramids)

    def one(key: jax.Array, index: jax.Array) -> jax.Array:
        place_Lx3 = place_NxLx3[index]
        level, side, corner_2 = _draw(key, place_Lx3, image_size, scales)
        return _read(pixels_Px3, place_Lx3[level], side, corner_2, image_size)

    return jax.vmap(one)(keys_B, index_B)


def _sizes(height: int, width: int, smallest: int) -> list[tuple[int, int]]:
    sizes = [(height, width)]
    while min(sizes[-1]) // 2 >= smallest:
        sizes.append((sizes[-1][0] // 2, sizes[-1][1] // 2))
    return sizes


def _halve(image_HxWx3: np.ndarray) -> np.ndarray:
    rows, columns = image_HxWx3.shape[0] // 2, image_HxWx3.shape[1] // 2
    cells = image_HxWx3[: 2 * rows, : 2 * columns].reshape(rows, 2, columns, 2, 3)
    # Sums of four bytes in 16 bits; 2 more make the division round to nearest.
    return ((cells.sum((1, 3), np.uint16) + 2) // 4).astype(np.uint8)


def _draw(
    key: jax.Array, place_Lx3: jax.Array, image_size: int, scales: tuple[float, float]
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The level to read, and in its pixels the side and the (top, left) of the square shown."""
    scale, *corner = jax.random.uniform(key, (3,))
    size_Lx2 = place_Lx3[:, 1:].astype(jnp.float32)
    short = size_Lx2[0].min()
    low, high = math.log(scales[0]), math.log(scales[1])
    edge = image_size * jnp.exp(low + (high - low) * scale)
    edge = jnp.minimum(edge, jnp.maximum(short, image_size))
    shown = short * image_size / edge  # in pixels of the photograph
    # Less a little: a crop at the photograph's own size must not fall short of it by rounding.
    octave = jnp.floor(jnp.log2(shown / image_size) + 1e-4).astype(jnp.int32)
    level = jnp.clip(octave, 0, place_Lx3.shape[0] - 1)
    # The copies at the end of a short chain are of the same size as the last level.
    factor = jnp.round(short / size_Lx2[level].min())
    side = jnp.minimum(shown / factor, size_Lx2[level].min())
    # Whole pixels, so that a crop at a level's own size is a copy of it.
    corner_2 = jnp.floor(jnp.stack(corner) * (jnp.floor(size_Lx2[level] - side) + 1))
    return level, side, corner_2


def _read(
    pixels_Px3: jax.Array,
    place_3: jax.Array,
    side: jax.Array,
    corner_2: jax.Array,
    image_size: int,
) -> jax.Array:
    """Resize a square of one level: uint8 image_SxSx3."""
    first, height, width = place_3
    patch = min(2 * image_size + 4 * _REACH + 2, pixels_Px3.shape[0])
    factor = side / image_size
    reach = _REACH * jnp.maximum(factor, 1.0)
    start_2 = jnp.maximum(jnp.floor(corner_2 - reach).astype(jnp.int32), 0)
    row_Q = jnp.clip(start_2[0] + jnp.arange(patch), 0, height - 1)

    def run(row: jax.Array) -> jax.Array:
        # May run on into the next row: those pixels get no weight.
        at = jnp.minimum(first + row * width + start_2[1], pixels_Px3.shape[0] - patch)
        shift = first + row * width + start_2[1] - at
        return jnp.roll(jax.lax.dynamic_slice(pixels_Px3, (at, 0), (patch, 3)), -shift, 0)

    patch_QxQx3 = jax.vmap(run)(row_Q).astype(jnp.float32)
    rows_SxQ = _weights(corner_2[0], factor, start_2[0], height, image_size, patch)
    columns_SxQ = _weights(corner_2[1], factor, start_2[1], width, image_size, patch)
    precision = jax.lax.Precision.HIGHEST
    image = jnp.einsum("iq,qrc->irc", rows_SxQ, patch_QxQx3, precision=precision)
    image = jnp.einsum("jr,irc->ijc", columns_SxQ, image, precision=precision)
    return jnp.clip(jnp.round(image), 0, 255).astype(jnp.uint8)


def _weights(
    corner: jax.Array,
    factor: jax.Array,
    start: jax.Array,
    length: jax.Array,
    image_size: int,
    patch: int,
) -> jax.Array:
    """weights_SxQ of the pixels from `start` on for each pixel of the crop, along one axis."""
    centre_Sx1 = (corner + (jnp.arange(image_size) + 0.5) * factor)[:, None]
    place_Q = start + jnp.arange(patch)
    distance_SxQ = jnp.abs(place_Q + 0.5 - centre_Sx1) / jnp.maximum(factor, 1.0)
    weight_SxQ = jnp.where(place_Q < length, _cubic(distance_SxQ), 0.0)
    return weight_SxQ / weight_SxQ.sum(1, keepdims=True)


def _cubic(distance: jax.Array) -> jax.Array:
    """Keys's cubic convolution kernel at distances >= 0, any shape."""
    a = _SHARPNESS
    near = ((a + 2) * distance - (a + 3)) * distance**2 + 1
    far = a * (((distance - 5) * distance + 8) * distance - 4)
    return jnp.where(distance < 1, near, jnp.where(distance < 2, far, 0.0))
