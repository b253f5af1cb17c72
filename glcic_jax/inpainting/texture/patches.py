"""Patches of an image as numbers that can be compared: pure functions, to be jitted.

A block is a square of `BLOCK` pixels on a grid of `STEP` pixels over a hole, so that every pixel of
the hole lies in four blocks. A source is a place where a whole block of pixels may be copied from.
A block is compared with a source by its known pixels, as they are, and in the hole by the low
frequencies of the fill that stands there and by how grainy its surroundings are.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from glcic_jax.inpainting.texture.grain import measure_grain

BLOCK = 16
"""Side of a block in pixels."""
STEP = 8
"""Pixels from one block to the next."""
_SIGMA = 2.0
_RADIUS = 6
"""Standard deviation and radius of the Gaussian that parts low from high frequencies, in pixels."""
_FINE = [
    (2 * row + column % 2, 2 * column + row % 2)
    for row in range(BLOCK // 2)
    for column in range(BLOCK // 2)
]
"""Where known pixels are compared: every fourth pixel of a block, of both parities along both axes,
so that an edge that is one pixel off is seen."""
_COARSE = [(row, column) for row in range(2, BLOCK, 4) for column in range(2, BLOCK, 4)]
"""Where low frequencies are compared."""
_GRAIN = [(row, column) for row in (4, 11) for column in (4, 11)]
"""Where grain is compared."""
_GRAIN_WEIGHT = 0.004
"""Of squared differences of grain, beside those of low frequencies."""
_CELL = 4
"""Of the sources in a cell of so many pixels, one may become a candidate."""
NEVER = 1e6
"""Cost of what is no source."""


class Bands(NamedTuple):
    """An image and its frequencies, float32.

    Attributes:
        image: the completed image_HxWx3, in [0, 1].
        low: its low frequencies, of the same shape.
        high: the rest, image less low.
        grain: grain_HxWxF of the known pixels, carried into the hole, see `measure_grain`.
    """

    image: jax.Array
    low: jax.Array
    high: jax.Array
    grain: jax.Array


class Blocks(NamedTuple):
    """What the blocks of a grid of (R, C) look for.

    Attributes:
        known_RxCxD: what the numbers of a source are multiplied by, see `describe`: of its pixels,
            compared with the known ones.
        known_constant_RxC: what is added to that sum.
        missing_RxCxE: the same of its low frequencies and grain, compared with the fill's.
        missing_constant_RxC: what is added to that sum.
        variance_RxC: of the known pixels, as a part of the block.
        place_RxCx2: int32, the first row and column of each block.
        is_open_RxC: bool, whether a pixel of the block is missing.
    """

    known_RxCxD: jax.Array
    known_constant_RxC: jax.Array
    missing_RxCxE: jax.Array
    missing_constant_RxC: jax.Array
    variance_RxC: jax.Array
    place_RxCx2: jax.Array
    is_open_RxC: jax.Array


def part_bands(image_HxWx3: jax.Array, missing_HxW: jax.Array) -> Bands:
    """Part a completed image into low and high frequencies; the border is repeated."""
    offsets = np.arange(-_RADIUS, _RADIUS + 1)
    kernel = np.exp(-0.5 * (offsets / _SIGMA) ** 2)
    kernel /= kernel.sum()
    low = image_HxWx3
    for axis in (0, 1):
        pad = [(_RADIUS, _RADIUS) if number == axis else (0, 0) for number in range(3)]
        padded = jnp.pad(low, pad, mode="edge")
        length = low.shape[axis]
        # Of differences, so that a flat image has high frequencies of exactly 0.
        low = low + sum(
            float(weight) * (jax.lax.slice_in_dim(padded, start, start + length, axis=axis) - low)
            for start, weight in enumerate(kernel)
        )
    high = image_HxWx3 - low
    return Bands(image_HxWx3, low, high, measure_grain(high, missing_HxW))


def describe(bands: Bands) -> jax.Array:
    """The numbers by which sources are compared: float32 (N, M, D), places as of `where_whole`."""
    # The images get the cells' ends, not the numbers, which are by far the largest array.
    ends = [(0, -(length - BLOCK + 1) % _CELL) for length in bands.image.shape[:2]]
    parts = []
    for band, places in ((bands.image, _FINE), (bands.low, _COARSE), (bands.grain, _GRAIN)):
        taps = _taps(jnp.pad(band, (*ends, (0, 0))), places)
        parts += [taps.reshape(*taps.shape[:2], -1), jnp.square(taps).sum(-1)]
    return jnp.concatenate(parts, -1)


def open_blocks(bands: Bands, missing_HxW: jax.Array, place_RxCx2: jax.Array) -> Blocks:
    """What blocks at these places look for: the mean squared difference, see the module.

    Args:
        bands: of the completed image.
        missing_HxW: bool, True is missing.
        place_RxCx2: int32, inside the image.
    """
    known = cut_blocks((~missing_HxW)[..., None].astype(jnp.float32), place_RxCx2)
    shape = place_RxCx2.shape[:2]

    def taps(band: jax.Array, places: list[tuple[int, int]]) -> tuple[jax.Array, jax.Array]:
        """Some pixels of each block, and how much of each is known."""
        chosen = (..., *np.transpose(places), slice(None))
        return cut_blocks(band, place_RxCx2)[chosen], known[chosen]

    def squared(weight: jax.Array, wanted: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Of the sum of weight (source - wanted)**2: factors of source and source**2; the rest."""
        factors = [part.reshape(*shape, -1) for part in (-2 * weight * wanted, weight)]
        return jnp.concatenate(factors, -1), (weight * wanted**2).sum((2, 3))

    x, is_known = taps(bands.image, _FINE)
    share = is_known / len(_FINE)
    mean = (share * x).sum(2, keepdims=True) / jnp.maximum(share.sum(2, keepdims=True), 1e-6)
    missing = []
    for band, places, weight in ((bands.low, _COARSE, 1.0), (bands.grain, _GRAIN, _GRAIN_WEIGHT)):
        wanted, is_known = taps(band, places)
        missing.append(squared(weight * (1 - is_known) / len(places), wanted))
    return Blocks(
        *squared(share, x),
        jnp.concatenate([factors for factors, _ in missing], -1),
        jnp.stack([constant for _, constant in missing]).sum(0),
        (share * (x - mean) ** 2).sum((2, 3)),
        place_RxCx2,
        known.min((2, 3, 4)) < 0.5,
    )


def costs_at(
    blocks: Blocks, numbers_HxWxD: jax.Array, is_source_HxW: jax.Array, place_RxCxKx2: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Costs of K places for each block, and those of its known pixels alone: float32 (R, C, K).

    Args:
        blocks: of a grid.
        numbers_HxWxD: of all places, see `describe`; H and W are those of places.
        is_source_HxW: bool.
        place_RxCxKx2: int32; what is outside is no source.
    """
    limit = jnp.array(is_source_HxW.shape)
    inside = ((place_RxCxKx2 >= 0) & (place_RxCxKx2 < limit)).all(-1)
    place = jnp.clip(place_RxCxKx2, 0, limit - 1)
    row, column = place[..., 0], place[..., 1]
    allowed, found = inside & is_source_HxW[row, column], numbers_HxWxD[row, column]

    def costs(values: jax.Array, weights_RxCxD: jax.Array, constant_RxC: jax.Array) -> jax.Array:
        cost = jnp.einsum("rckd,rcd->rck", values, weights_RxCxD, precision="highest")
        return jnp.maximum(cost + constant_RxC[..., None], 0.0)

    count = blocks.known_RxCxD.shape[-1]
    of_known = costs(found[..., :count], blocks.known_RxCxD, blocks.known_constant_RxC)
    of_rest = costs(found[..., count:], blocks.missing_RxCxE, blocks.missing_constant_RxC)
    return jnp.where(allowed, of_known + of_rest, NEVER), jnp.where(allowed, of_known, NEVER)


def nearest(
    blocks: Blocks, numbers_HxWxD: jax.Array, is_source_HxW: jax.Array, count: int
) -> jax.Array:
    """The places of the cheapest sources of each block, of different cells: int32 (R, C, K, 2).

    Arguments as of `costs_at`; H and W divide by `_CELL`.
    """
    rows, columns = (length // _CELL for length in is_source_HxW.shape)
    penalty = jnp.where(is_source_HxW, 0.0, NEVER)
    flat = numbers_HxWxD.reshape(-1, numbers_HxWxD.shape[-1])

    def of_row(weights_CxD: jax.Array) -> jax.Array:
        cost = jnp.matmul(weights_CxD, flat.T, precision="highest")
        cost = cost.reshape(-1, rows * _CELL, columns * _CELL) + penalty
        cells = cost.reshape(-1, rows, _CELL, columns, _CELL).transpose(0, 1, 3, 2, 4)
        cells = cells.reshape(-1, rows * columns, _CELL**2)
        inner = cells.argmin(-1)
        _, best = jax.lax.top_k(-cells.min(-1), count)
        within = jnp.take_along_axis(inner, best, 1)
        row = best // columns * _CELL + within // _CELL
        column = best % columns * _CELL + within % _CELL
        return jnp.stack([row, column], -1).astype(jnp.int32)

    weights_RxCxD = jnp.concatenate([blocks.known_RxCxD, blocks.missing_RxCxE], -1)
    return jax.lax.map(of_row, weights_RxCxD)


def where_whole(allowed_HxW: jax.Array) -> jax.Array:
    """Where a block of allowed pixels begins: bool (N, M), the H - BLOCK + 1 rows and W - BLOCK + 1
    columns of places up to the next multiple of `_CELL`, in which there are none."""
    window = (BLOCK, BLOCK)
    whole = jax.lax.reduce_window(
        allowed_HxW, np.True_, jax.lax.bitwise_and, window, (1, 1), "VALID"
    )
    return jnp.pad(whole, [(0, -length % _CELL) for length in whole.shape])


def cut_blocks(image_HxWxC: jax.Array, place: jax.Array) -> jax.Array:
    """The blocks that begin at int32 places of shape (..., 2): (..., BLOCK, BLOCK, C)."""
    size = (BLOCK, BLOCK, image_HxWxC.shape[2])

    def one(corner: jax.Array) -> jax.Array:
        return jax.lax.dynamic_slice(image_HxWxC, (corner[0], corner[1], 0), size)

    found = jax.vmap(one)(place.reshape(-1, 2))
    return found.reshape(*place.shape[:-1], *size)


def _taps(image_HxWxC: jax.Array, places: list[tuple[int, int]]) -> jax.Array:
    """Some pixels of the block that begins at each place: (H - BLOCK + 1, W - BLOCK + 1, N, C)."""
    height, width = (length - BLOCK + 1 for length in image_HxWxC.shape[:2])
    return jnp.stack(
        [image_HxWxC[row : row + height, left : left + width] for row, left in places], 2
    )
