"""Small images, computed whole and a batch at a time: a window of them would save nothing.

Images of different sizes share a program: they lie in the corner of a canvas of one of a few sizes.
Their holes are completed in one pass.
"""

from __future__ import annotations

import functools
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from glcic_jax.imaging.fills import Frame, harmonic_fill, mean_fill
from glcic_jax.imaging.values import from_unit, mirrored_places, to_unit
from glcic_jax.inpainting.coarse_to_fine import padding_multiple
from glcic_jax.inpainting.geometry import round_up
from glcic_jax.inpainting.partial import Place, chain, complete_windows
from glcic_jax.inpainting.prepared import Prepared
from glcic_jax.networks.interface import Generator
from glcic_jax.runtime import devices

Array = TypeVar("Array", np.ndarray, jax.Array)

SMALL = 64
"""Longest side in pixels of an image that is computed whole."""
_GRID = 32
"""Images are rounded up to a multiple of this many pixels."""


class Canvas(NamedTuple):
    """A batch of images of one size, in the corner of canvases.

    Attributes:
        image_BxHxWx3: uint8, uint16, or any float in [0, 1]: the images, continued by their mirror
            images, begin at row and column `mirror_margin`.
        hole_BxHxWx1: bool, True is the hole.
        cells_2: int32, cells of a continued image along rows and columns.
    """

    image_BxHxWx3: np.ndarray
    hole_BxHxWx1: np.ndarray
    cells_2: np.ndarray


def lay_out(generator: Generator, image_BxHxWx3: np.ndarray, hole_BxHxW: np.ndarray) -> Canvas:
    """Lay images with bool holes on canvases."""
    size = hole_BxHxW.shape[1:]
    cell, multiple = generator.multiple, padding_multiple(generator, size[0], size[1])
    margin = generator.mirror_margin
    cells_2 = np.array(
        [round_up(length + 2 * margin, multiple) // cell for length in size], np.int32
    )
    rows, columns = (
        mirrored_places(0, _canvas(length, int(count) * cell, margin, cell), length, margin)
        for count, length in zip(cells_2, size, strict=True)
    )
    images, holes = (x[:, rows[:, None], columns] for x in (image_BxHxWx3, hole_BxHxW[..., None]))
    return Canvas(images, holes, cells_2)


def _canvas(length: int, needed: int, margin: int, cell: int) -> int:
    """The side of the canvas of images of that length, which takes `needed` pixels at least."""
    # Margins aside: with narrow ones, a canvas of whole grid cells has up to four times the area.
    return round_up(max(needed, round_up(length, _GRID) + 2 * margin), cell)


def cut_out(generator: Generator, output: Array, height: int, width: int) -> Array:
    """What images of a size are of the output over their canvases, image_BxHxWxC."""
    margin = generator.mirror_margin
    return output[:, margin : margin + height, margin : margin + width]


def complete_canvas(
    generator: Generator,
    folded: dict,
    mean_pixel: jax.Array,
    image_BxHxWx3: jax.Array,
    hole_BxHxWx1: jax.Array,
    cells_2: jax.Array,
) -> jax.Array:
    """The network's raw output over canvases: pure; `generator` is static.

    Args:
        generator: the network's shape.
        folded: its layers, see `networks.folding.fold`.
        mean_pixel: float32 of shape (3,), in [0, 1].
        image_BxHxWx3: uint8, uint16, or any float in [0, 1].
        hole_BxHxWx1: bool or 0/1, true is the hole.
        cells_2: int32, see `Canvas`.

    Returns:
        float32 image_BxHxWx3 in [0, 1]; anything beyond the images.
    """
    image, mask = to_unit(image_BxHxWx3), hole_BxHxWx1.astype(jnp.float32)
    size_2 = cells_2 * generator.multiple
    if generator.fill == "harmonic":
        frame = Frame(size_2[0], size_2[1], jnp.max(size_2))
        filled = harmonic_fill(image, mask, mean_pixel, frame=frame)
    else:
        filled = mean_fill(image, mask, mean_pixel)
    whole = (0,) * (len(chain(generator)) + 2)
    cells_Bx2 = jnp.broadcast_to(cells_2, (image.shape[0], 2))
    place = Place(jnp.zeros_like(cells_Bx2), cells_Bx2)
    return complete_windows(generator, whole, folded, mean_pixel, filled, mask, place)


def fill_small(prepared: Prepared, image_BxHxWx3: np.ndarray, hole_BxHxW: np.ndarray) -> np.ndarray:
    """Complete images of at most `SMALL` pixels a side, see `photographs.fill_holes`."""
    height, width = hole_BxHxW.shape[1:]
    arrays = lay_out(prepared.generator, image_BxHxWx3, hole_BxHxW)
    output = _complete(prepared.generator, prepared.folded, prepared.mean_pixel, *arrays)
    filled = cut_out(prepared.generator, np.asarray(output), height, width)
    return np.where(hole_BxHxW[..., None], filled, image_BxHxWx3)


@functools.partial(devices.jit, static_argnums=0)
def _complete(generator, folded, mean_pixel, images, holes, cells_2):
    output = complete_canvas(generator, folded, mean_pixel, images, holes, cells_2)
    return from_unit(output, images.dtype)
