"""How grainy an image is at each place, carried into its hole: pure functions, to be jitted.

In the hole a fill is smooth whatever belongs there, so its pixels don't tell a lawn from a wall of
the same colour. How strong fine detail is around the hole, and in which directions, does.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp

from glcic_jax.imaging.blur import gaussian_blur
from glcic_jax.imaging.fills import harmonic_fill

_DIRECTIONS = ((0, 1), (1, 0), (1, 1), (1, -1))
CHANNELS = len(_DIRECTIONS) + 1
_SIGMA, _RADIUS = 4.0, 12
"""Of the Gaussian window in which strength is measured, in pixels."""
_FLOOR = (1 / 255) ** 2
"""Added to the energies, so that a flat image differs little from an almost flat one."""
_MOST = math.log1p(4 / _FLOOR)
"""The logarithm of the largest energy over the floor: of differences of 2."""
_SEEN = 0.25
"""Share of a window that has to be known for a pixel in the hole to be measured, not carried."""


def measure_grain(high_HxWx3: jax.Array, missing_HxW: jax.Array) -> jax.Array:
    """The logarithm of the energy of fine detail around each pixel, by direction.

    Of the known pixels in a Gaussian window, the mean squared difference of neighbours in four
    directions, of the mean of the channels, and the mean square of red less blue. What no window
    of known pixels reaches is the harmonic fill of what is around.

    Args:
        high_HxWx3: float32, the high frequencies of an image; those of missing pixels are not read.
        missing_HxW: bool, True is missing.

    Returns:
        float32 grain_HxWxF with F `CHANNELS`, at least 0, which is no detail; one more is e times
        the energy.
    """
    known = (~missing_HxW).astype(jnp.float32)
    tone = high_HxWx3.mean(-1)
    squares, pairs = [(high_HxWx3[..., 0] - high_HxWx3[..., 2]) ** 2], [known]
    for direction in _DIRECTIONS:
        squares.append((_moved(tone, direction) - tone) ** 2)
        pairs.append(known * _moved(known, direction))
    weight = jnp.stack(pairs, -1)
    energy = gaussian_blur(weight * jnp.stack(squares, -1), _SIGMA, _RADIUS)
    seen = gaussian_blur(weight, _SIGMA, _RADIUS)
    part = jnp.log1p(energy / jnp.maximum(seen, 1e-3) / _FLOOR) / _MOST
    carried = (missing_HxW & (seen.min(-1) < _SEEN)).astype(jnp.float32)
    nowhere = jnp.zeros(CHANNELS)  # known; it is the value of an image of which nothing is
    return _MOST * harmonic_fill(part[None], carried[None, ..., None], nowhere)[0]


def _moved(x_HxW: jax.Array, direction: tuple[int, int]) -> jax.Array:
    """Each pixel's neighbour in a direction; 0 beyond the border."""
    height, width = x_HxW.shape
    down, right = direction
    padded = jnp.pad(x_HxW, 1)
    return padded[1 + down : 1 + down + height, 1 + right : 1 + right + width]
