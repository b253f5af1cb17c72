"""A part of a photograph at one of its sizes, on the host, while its holes are completed."""

from __future__ import annotations

import dataclasses

import numpy as np

from glcic_jax.imaging.values import mirrored_places, white
from glcic_jax.inpainting.geometry import Box

_QUARTERS = ((0, 0), (0, 1), (1, 0), (1, 1))
"""Rows and columns of the four pixels that become one."""


@dataclasses.dataclass(frozen=True)
class Canvas:
    """NumPy arrays of rows from `top` and columns from `left` on; lengths in pixels of this size.

    Attributes:
        top: first row, of the whole image at this size.
        left: first column.
        size: height and width of the whole image at this size.
        image: float32 image_HxWx3 in [0, 1]; what it holds in the hole is not read until it is
            filled.
        hole: bool hole_HxW, True is the hole.
        stage: uint8 stage_HxW, see `depths.hole_stages`; a hole of stage 0 only gets a smooth fill
            here, as one that a finer size completes, or as the surroundings of what is wanted.
    """

    top: int
    left: int
    size: tuple[int, int]
    image: np.ndarray
    hole: np.ndarray
    stage: np.ndarray


def open_canvas(
    image_HxWx3: np.ndarray,
    stage_HxW: np.ndarray,
    size: tuple[int, int],
    box: Box,
    margin: int,
    multiple: int,
    mirror_margin: int = 0,
) -> Canvas:
    """The part of a photograph around a box of holes.

    Args:
        image_HxWx3: uint8, uint16, or any float in [0, 1].
        stage_HxW: uint8, see `stages.hole_stages`.
        size: height and width that the image is continued to.
        box: of the photograph; holes outside it are surroundings.
        margin: pixels around the box.
        multiple: what all of the canvas's lengths divide by, as `size` does.
        mirror_margin: see `values.continue_mirrored`; the canvas's rows and columns count from
            where the mirror image begins.
    """
    starts, inner, places = [], [], []
    for low, high, limit, length in zip(box[:2], box[2:], size, stage_HxW.shape, strict=True):
        first, last = low + mirror_margin, high + mirror_margin
        start = max(0, first - margin) // multiple * multiple
        stop = min(-(-(last + margin) // multiple) * multiple, limit)
        starts.append(start)
        places.append(mirrored_places(start, stop, length, mirror_margin))
        # What is padded below or beside a hole at the border belongs to it, a mirror image not.
        belongs = high == length and not mirror_margin
        inner.append(slice(first - start, None if belongs else last - start))
    image = _taken(image_HxWx3, places)
    unit = image.astype(np.float32) / np.float32(white(image.dtype))
    all_stages = _taken(stage_HxW, places)
    stage = np.zeros_like(all_stages)
    stage[tuple(inner)] = all_stages[tuple(inner)]
    return Canvas(starts[0], starts[1], size, unit, all_stages > 0, stage)


def halved(canvas: Canvas) -> Canvas:
    """The canvas at half the size, as `levels.halve` and `depths.halve_stages` make it."""
    height, width = canvas.hole.shape
    cells = (height // 2, 2, width // 2, 2)
    count = np.zeros((height // 2, width // 2, 1), np.float32)
    total = np.zeros((height // 2, width // 2, 3), np.float32)
    for quarter in ((slice(row, None, 2), slice(column, None, 2)) for row, column in _QUARTERS):
        known = ~canvas.hole[quarter][..., None]
        count += known
        np.add(total, canvas.image[quarter], out=total, where=known)
    hole = count[..., 0] == 0
    left_over = np.maximum(canvas.stage, 1) - 1
    stage = np.where(hole, left_over.reshape(cells).max((1, 3)), 0).astype(np.uint8)
    size = (canvas.size[0] // 2, canvas.size[1] // 2)
    mean = total / np.maximum(count, 1)
    return Canvas(canvas.top // 2, canvas.left // 2, size, mean, hole, stage)


def _taken(array_HxWxC: np.ndarray, places: list[np.ndarray]) -> np.ndarray:
    """The rows and columns at these places; not copied where they follow each other."""
    for axis, place in enumerate(places):
        if place[-1] - place[0] == len(place) - 1 and (np.diff(place) == 1).all():
            array_HxWxC = array_HxWxC[(slice(None),) * axis + (slice(place[0], place[-1] + 1),)]
        else:
            array_HxWxC = array_HxWxC.take(place, axis)
    return array_HxWxC
