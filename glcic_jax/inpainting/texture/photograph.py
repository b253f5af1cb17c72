"""Texture for the deep holes of a photograph: which, in which windows, at how many sizes.

A hole is textured in squares of a few fixed sides, so that photographs of all sizes share a few
programs. In a very deep hole even the half of the photograph is too smooth: there it is textured at
half the size first, and what that adds, doubled, is added at full size before its own turn.
"""

from __future__ import annotations

import dataclasses
import logging
from typing import Any

import cv2
import jax
import jax.numpy as jnp
import numpy as np

from glcic_jax.imaging.levels import double
from glcic_jax.imaging.values import mirrored_places, white
from glcic_jax.inpainting.texture.patches import BLOCK
from glcic_jax.inpainting.texture.synthesis import synthesise

LEAST_DEPTH = 13
"""Depth in pixels of the shallowest hole that gets texture by itself, which is 25 pixels wide."""
_HALVED_FROM = 40
"""Depth in pixels from which on a hole is textured at half the size too."""
_SQUARES = (32, 64, 128, 192)
"""Sides in pixels of the squares in which holes are textured."""
_AROUND = {1: 80, 2: 112}
"""Pixels around a square that patches come from, by the number of sizes."""

_log = logging.getLogger("glcic_jax")


@dataclasses.dataclass(frozen=True)
class _Square:
    """A square of a photograph with a part of a hole in it."""

    top: int
    left: int
    side: int
    sizes: int
    """At how many sizes it is textured."""
    hole: np.ndarray
    """bool hole_HxW from its first row and column on; what lies beyond is none."""

    def part_of(self, x_HxW: np.ndarray) -> np.ndarray:
        """The pixels of an image or a mask where `hole` lies, as a view."""
        height, width = self.hole.shape
        return x_HxW[self.top : self.top + height, self.left : self.left + width]


def add_texture(
    image_BxHxWx3: np.ndarray,
    hole_BxHxW: np.ndarray,
    missing_BxHxW: np.ndarray,
    source_BxHxW: np.ndarray,
    least_depth: int = LEAST_DEPTH,
) -> np.ndarray:
    """Give the fill of deep holes the texture of their surroundings.

    For each block of 16 pixels of the hole, patches of the surroundings are found whose pixels are
    near those that are known, and whose low frequencies are near those of the fill. Of these, one
    is chosen for each block such that neighbours fit, and its high frequencies are laid over the
    fill's low ones. Where nothing around is near, less of it is. (Patches matched level by level
    under a network's fill: Yang et al. 2017, arXiv:1611.09969; chosen by belief propagation:
    Komodakis & Tziritas 2007.)

    Args:
        image_BxHxWx3: uint8, uint16 or any float in [0, 1], completed.
        hole_BxHxW: bool, True is the hole.
        missing_BxHxW: bool, pixels that were filled: the hole, and what was transparent. Nothing is
            copied from them, and their fine detail is not looked at.
        source_BxHxW: bool, pixels that may be copied from where they are known.
        least_depth: of the holes that get texture: pixels from a hole's deepest pixel to the
            nearest known one.

    Returns:
        New images the same dtype, equal outside the holes. A part of a hole whose surroundings hold
        no block of 16 pixels that may be copied stays as it is, which is logged as one warning for
        each image.
    """
    textured = image_BxHxWx3.copy()
    parts = zip(textured, hole_BxHxW, missing_BxHxW, source_BxHxW, strict=True)
    for image, holes, filled, source in parts:
        squares = _squares(holes, least_depth)
        if not squares:
            continue
        usable, missing = source & ~filled, filled.copy()
        without = []
        for square in squares:
            if not _add_to_square(image, missing, usable, square):
                without.append(square)
            # The next one goes on with what stands there now.
            square.part_of(missing)[square.hole] = False
        if without:
            _log.warning(
                "%d of %d squares of holes get no texture, the first at row %d, column %d: nothing "
                "around them that may be copied holds a square of %d pixels",
                len(without),
                len(squares),
                without[0].top,
                without[0].left,
                BLOCK,
            )
    return textured


def _squares(hole_HxW: np.ndarray, least_depth: int) -> list[_Square]:
    """Squares that cover each hole that is deep enough, as small as its shorter side allows."""
    holes: Any = hole_HxW.astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(holes, connectivity=8)
    squares = []
    for number in range(1, count):
        left, top, width, height, _ = (int(value) for value in stats[number])
        if min(width, height) < least_depth:
            continue
        # With a pixel around it, where there is one: all that a distance depends on.
        before = min(top, 1), min(left, 1)
        rows = slice(top - before[0], top + height + 1)
        part: Any = labels[rows, left - before[1] : left + width + 1] == number
        depth = float(cv2.distanceTransform(part.astype(np.uint8), cv2.DIST_C, 3).max())
        if depth < least_depth:
            continue
        own = part[before[0] :, before[1] :][:height, :width]
        side = next((side for side in _SQUARES if side >= min(height, width)), _SQUARES[-1])
        sizes = 2 if depth >= _HALVED_FROM else 1
        for row in range(0, height, side):
            for column in range(0, width, side):
                inside = own[row : row + side, column : column + side]
                if inside.any():
                    squares.append(_Square(top + row, left + column, side, sizes, inside))
    return squares


def _add_to_square(
    image_HxWx3: np.ndarray, missing_HxW: np.ndarray, source_HxW: np.ndarray, square: _Square
) -> bool:
    """Texture the hole in a square, in place; False: nothing around it can be copied."""
    around = _AROUND[square.sizes]
    side = square.side + 2 * around
    places, inside = [], []
    for start, length in zip((square.top, square.left), source_HxW.shape, strict=True):
        span = np.arange(start - around, start - around + side)
        places.append(mirrored_places(start, start + side, length, around))
        inside.append((span >= 0) & (span < length))
    rows, columns = places[0][:, None], places[1]
    hole = np.zeros((side, side), bool)
    height, width = square.hole.shape
    hole[around : around + height, around : around + width] = square.hole
    source = source_HxW[rows, columns] & inside[0][:, None] & inside[1]
    # Where no block of half the size is known, one of full size may be.
    usable = [number for number in range(1, square.sizes + 1) if _holds_block(source, number)]
    if not usable:
        return False
    most = np.float32(white(image_HxWx3.dtype))
    unit = image_HxWx3[rows, columns].astype(np.float32) / most
    missing = missing_HxW[rows, columns]
    filled = np.asarray(_texture(unit, missing, hole, source, around, usable[-1]))[hole]
    if image_HxWx3.dtype.kind == "u":
        filled = np.round(filled * most)
    square.part_of(image_HxWx3)[square.hole] = filled.astype(image_HxWx3.dtype)
    return True


def _holds_block(source_HxW: np.ndarray, sizes: int) -> bool:
    kernel = np.ones((BLOCK * sizes, BLOCK * sizes), np.uint8)
    padded = np.pad(source_HxW.astype(np.uint8), 1)
    return bool(cv2.erode(padded, kernel).any())


def _texture(
    image_SxSx3: np.ndarray,
    missing_SxS: np.ndarray,
    hole_SxS: np.ndarray,
    source_SxS: np.ndarray,
    around: int,
    sizes: int,
) -> jax.Array:
    """The window with texture in its hole, which lies `around` pixels inside."""
    image: jax.Array = jnp.asarray(image_SxSx3)
    if sizes > 1:
        half = _halves(image_SxSx3).mean((1, 3))
        half_missing, half_hole = (_halves(x).any((1, 3)) for x in (missing_SxS, hole_SxS))
        half_source = _halves(source_SxS).all((1, 3))
        added = _texture(half, half_missing, half_hole, half_source, around // 2, sizes - 1) - half
        image = jnp.where(
            hole_SxS[..., None], jnp.clip(image + double(added[None])[0], 0, 1), image
        )
    return synthesise(image, missing_SxS, hole_SxS, source_SxS, around)


def _halves(x_SxS: np.ndarray) -> Any:
    """Cells of 2x2 pixels along axes 1 and 3."""
    side = len(x_SxS) // 2
    return x_SxS.reshape(side, 2, side, 2, *x_SxS.shape[2:])
