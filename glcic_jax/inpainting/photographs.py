"""Fill the holes of images on the host's side: cut windows, run the network on them, write back.

What is computed of a window is decided in `geometry.py` and computed in `partial.py`: one hole, or
one group of near holes, at a time. Images too small for that are computed whole, `small_images.py`.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from glcic_jax.imaging.fills import Frame, harmonic_fill
from glcic_jax.imaging.values import to_uint8
from glcic_jax.inpainting import geometry
from glcic_jax.inpainting.geometry import Box, Plan, Span, cut
from glcic_jax.inpainting.partial import chain, complete_partly, reach
from glcic_jax.inpainting.prepared import Prepared
from glcic_jax.inpainting.small_images import SMALL, fill_small
from glcic_jax.runtime import devices


def fill_holes(prepared: Prepared, image_BxHxWx3: np.ndarray, hole_BxHxW: np.ndarray) -> np.ndarray:
    """Complete images; every known pixel stays bit for bit.

    Args:
        prepared: the generator.
        image_BxHxWx3: uint8, or any float in [0, 1].
        hole_BxHxW: bool, True is the hole; every image has a known pixel.

    Returns:
        New images of the same dtype.
    """
    if not hole_BxHxW.any():
        return image_BxHxWx3.copy()
    if max(hole_BxHxW.shape[1:]) <= SMALL:
        return fill_small(prepared, image_BxHxWx3, hole_BxHxW)
    completed = image_BxHxWx3.copy()
    for image, hole in zip(completed, hole_BxHxW, strict=True):
        if hole.any():
            _fill_photograph(prepared, image, hole)
    return completed


def _fill_photograph(prepared: Prepared, image_HxWx3: np.ndarray, hole_HxW: np.ndarray) -> None:
    """Complete an image in place."""
    cell = prepared.cell
    layers, beyond = chain(prepared.generator), reach(prepared.generator)
    cells = (-(-hole_HxW.shape[0] // cell), -(-hole_HxW.shape[1] // cell))
    # As `images.pad_to_multiple`, but only a window's share of it is ever made for the image.
    size = (cells[0] * cell, cells[1] * cell)
    hole = cut(hole_HxW[None, ..., None], (Span(0, size[0]), Span(0, size[1])))[0, ..., 0]
    boxes = geometry.hole_boxes(hole, cell * geometry.margins(layers, cell)[0] + beyond)
    known = _Canvas(image_HxWx3, hole)
    patches = [(box, _fill_patch(prepared, known, box)) for box in boxes]
    for box in boxes:
        where = geometry.hole_cells(box, cell, cells)
        plan = geometry.plan_extents(layers, cell, where.size, cells, beyond)
        starts_Ex2 = geometry.extent_starts(plan, where, cells)
        output = _complete_window(prepared, plan, known, patches, starts_Ex2, cells)
        top, left = (int(start) * cell for start in starts_Ex2[-1])
        _write(image_HxWx3, hole_HxW, box, output, (top, left))


class _Canvas(NamedTuple):
    """An image as it is, and its hole on whole cells."""

    image: np.ndarray
    hole: np.ndarray

    def cut(self, spans: tuple[Span, Span]) -> tuple[np.ndarray, np.ndarray]:
        """float32 image_1xhxwx3 in [0, 1] and bool hole_1xhxwx1; what lies outside repeats."""
        image = cut(self.image[None], spans)
        unit = image.astype(np.float32)
        return (
            unit / np.float32(255) if image.dtype == np.uint8 else unit,
            cut(self.hole[None, ..., None], spans),
        )


def _fill_patch(prepared: Prepared, canvas: _Canvas, box: Box) -> np.ndarray:
    """What stands in the hole before the network looks at it, for all of its box."""
    height, width = canvas.hole.shape
    if prepared.generator.fill == "mean":
        return np.broadcast_to(np.asarray(prepared.mean_pixel), (*box.sides, 3))
    spans = geometry.fill_window(box, (height, width))
    image, hole = canvas.cut(spans)
    frame_3 = (height - spans[0].start, width - spans[1].start, max(height, width))
    filled = np.asarray(_harmonic(image, hole, prepared.mean_pixel, np.asarray(frame_3, np.int32)))
    rows, columns = (
        slice(low - span.start, high - span.start)
        for low, high, span in zip(box[:2], box[2:], spans, strict=True)
    )
    return filled[0, rows, columns]


@jax.jit
def _harmonic(image, hole, mean_pixel, frame_3):
    mask = hole.astype(jnp.float32)
    return harmonic_fill(image, mask, mean_pixel, frame=Frame(*frame_3))


def _complete_window(
    prepared: Prepared,
    plan: Plan,
    canvas: _Canvas,
    patches: list[tuple[Box, np.ndarray]],
    starts_Ex2: np.ndarray,
    cells: tuple[int, int],
) -> np.ndarray:
    """The output over the hole's region, in the dtype of the image (or float32 for floats)."""
    start, size, cell = starts_Ex2[0], plan.seen.size, prepared.cell
    spans = (
        Span(int(start[0]) * cell, size[0] * cell),
        Span(int(start[1]) * cell, size[1] * cell),
    )
    filled, hole = canvas.cut(spans)
    for box, patch in patches:
        _paste(filled[0], hole[0, ..., 0], box, patch, spans)
    output = _complete_region(
        prepared.generator,
        plan,
        canvas.image.dtype,
        prepared.folded,
        filled,
        hole,
        starts_Ex2,
        np.asarray(cells, np.int32),
    )
    return np.asarray(output)[0]


@functools.partial(devices.jit, static_argnums=(0, 1, 2))
def _complete_region(generator, plan, dtype, folded, filled, hole, starts_Ex2, cells_2):
    mask = hole.astype(jnp.float32)
    output = complete_partly(generator, plan, folded, filled, mask, starts_Ex2, cells_2)
    return to_uint8(output) if dtype == np.uint8 else output


def _paste(
    window: np.ndarray,
    hole: np.ndarray,
    box: Box,
    patch: np.ndarray,
    spans: tuple[Span, Span],
) -> None:
    """Write what the window sees of a patch into the window's hole."""
    low = [max(first, span.start) for first, span in zip(box[:2], spans, strict=True)]
    high = [min(end, span.start + span.length) for end, span in zip(box[2:], spans, strict=True)]
    if low[0] >= high[0] or low[1] >= high[1]:
        return
    inside = tuple(
        slice(a - span.start, b - span.start) for a, b, span in zip(low, high, spans, strict=True)
    )
    source = tuple(slice(a - first, b - first) for a, b, first in zip(low, high, box, strict=False))
    np.copyto(window[inside], patch[source], where=hole[inside][..., None])


def _write(
    image: np.ndarray, hole: np.ndarray, box: Box, output: np.ndarray, corner: tuple[int, int]
) -> None:
    bottom, right = min(box.bottom, image.shape[0]), min(box.right, image.shape[1])
    inside = (slice(box.top, bottom), slice(box.left, right))
    rows, columns = (
        slice(part.start - first, part.stop - first)
        for part, first in zip(inside, corner, strict=True)
    )
    part = output[rows, columns].astype(image.dtype)
    np.copyto(image[inside], part, where=hole[inside][..., None])
