"""Small images, computed whole and a batch at a time: a window of them would save nothing.

Images of different sizes share a program: they lie in the corner of a canvas of one of a few sizes.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from glcic_jax.imaging.fills import Frame, harmonic_fill, mean_fill
from glcic_jax.imaging.values import to_uint8, to_unit
from glcic_jax.inpainting import geometry
from glcic_jax.inpainting.geometry import Plan, Span, cut
from glcic_jax.inpainting.partial import chain, complete_partly, reach
from glcic_jax.inpainting.prepared import Prepared
from glcic_jax.networks.interface import Generator
from glcic_jax.runtime import devices

SMALL = 64
"""Longest side in pixels of an image that is computed whole."""


class Canvas(NamedTuple):
    """A batch of images of one size, in the corner of canvases.

    Attributes:
        plan: what is computed of each feature map: all of it (static).
        image_BxHxWx3: uint8, or any float in [0, 1]; beyond the images their border repeats.
        hole_BxHxWx1: bool, True is the hole.
        cells_2: int32, cells of an image along rows and columns.
    """

    plan: Plan
    image_BxHxWx3: np.ndarray
    hole_BxHxWx1: np.ndarray
    cells_2: np.ndarray


def lay_out(generator: Generator, image_BxHxWx3: np.ndarray, hole_BxHxW: np.ndarray) -> Canvas:
    """Lay uint8 or float images with bool holes on canvases."""
    height, width = hole_BxHxW.shape[1:]
    cell = generator.multiple
    cells = (-(-height // cell), -(-width // cell))
    plan = geometry.plan_extents(chain(generator), cell, cells, cells, reach(generator))
    rows, columns = plan.seen.size
    spans = (Span(0, rows * cell), Span(0, columns * cell))
    return Canvas(
        plan,
        cut(image_BxHxWx3, spans),
        cut(hole_BxHxW[..., None], spans),
        np.asarray(cells, np.int32),
    )


def complete_canvas(
    generator: Generator,
    plan: Plan,
    folded: dict,
    mean_pixel: jax.Array,
    image_BxHxWx3: jax.Array,
    hole_BxHxWx1: jax.Array,
    cells_2: jax.Array,
) -> jax.Array:
    """The network's raw output over canvases: pure; `generator` and `plan` are static.

    Args:
        generator: the network's shape.
        plan: see `Canvas`, as are the last three.
        folded: its layers, see `networks.folding.fold`.
        mean_pixel: float32 of shape (3,), in [0, 1].
        image_BxHxWx3: uint8, or any float in [0, 1].
        hole_BxHxWx1: bool or 0/1, true is the hole.
        cells_2: int32.

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
    starts_Ex2 = jnp.zeros((1 + len(plan.extents), 2), jnp.int32)
    return complete_partly(generator, plan, folded, filled, mask, starts_Ex2, cells_2)


def fill_small(prepared: Prepared, image_BxHxWx3: np.ndarray, hole_BxHxW: np.ndarray) -> np.ndarray:
    """Complete images of at most `SMALL` pixels a side, see `photographs.fill_holes`."""
    height, width = hole_BxHxW.shape[1:]
    plan, *arrays = lay_out(prepared.generator, image_BxHxWx3, hole_BxHxW)
    output = _complete(prepared.generator, plan, prepared.folded, prepared.mean_pixel, *arrays)
    filled = np.asarray(output)[:, :height, :width].astype(image_BxHxWx3.dtype)
    return np.where(hole_BxHxW[..., None], filled, image_BxHxWx3)


@functools.partial(devices.jit, static_argnums=(0, 1))
def _complete(generator, plan, folded, mean_pixel, images, holes, cells_2):
    output = complete_canvas(generator, plan, folded, mean_pixel, images, holes, cells_2)
    return to_uint8(output) if images.dtype == np.uint8 else output
