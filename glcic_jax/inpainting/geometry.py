"""Which parts of a photograph its holes can see: geometry on the host, NumPy and integers only.

A pixel of the output depends on the pixels within the network's receptive field, and a layer near
the output on far fewer cells than a layer near the input. `plan_extents` works out how much of each
layer's input a hole needs; `partial.py` computes just that. Lengths are in pixels, or in
cells: a cell is a pixel of the coarsest feature map, `2**downsamples` pixels wide.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np

from glcic_jax.networks.interface import Layer

GRID = 32
"""Sizes are rounded up to multiples of this many pixels, so that few programs are compiled."""

_MOST_BOXES = 32


class Box(NamedTuple):
    """A rectangle of pixels; `bottom` and `right` are the first row and column outside it."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def sides(self) -> tuple[int, int]:
        """Height and width."""
        return self.bottom - self.top, self.right - self.left

    def union(self, other: Box) -> Box:
        """The smallest box that contains both."""
        low, high = np.minimum(self, other), np.maximum(self, other)
        return Box(int(low[0]), int(low[1]), int(high[2]), int(high[3]))

    def gap(self, other: Box) -> int:
        """The longer of the two distances, along rows and along columns, between the boxes."""
        down = max(other.top - self.bottom, self.top - other.bottom)
        across = max(other.left - self.right, self.left - other.right)
        return max(down, across, 0)


# --- Holes ----------------------------------------------------------------------------------------


def hole_boxes(mask_HxW: np.ndarray, reach: int) -> list[Box]:
    """Boxes that contain all holes, near holes in one box.

    Two boxes become one if the fill of one hole may depend on the other hole, or if that makes
    their windows smaller.

    Args:
        mask_HxW: bool, True is the hole.
        reach: how far the network sees in each direction, in pixels.
    """
    boxes = _separate_boxes(mask_HxW)

    def cost(box: Box) -> int:
        sides = (
            min(side + 2 * reach, limit)
            for side, limit in zip(box.sides, mask_HxW.shape, strict=True)
        )
        return int(np.prod(list(sides)))

    def belong_together(one: Box, other: Box) -> bool:
        # The fill of a hole of shorter side s starts from cells of up to 2s pixels and reads two
        # of them; a hole of shorter side s is itself missing from cells of up to s pixels.
        if one.gap(other) <= 4 * min(*one.sides, *other.sides):
            return True
        return cost(one.union(other)) <= cost(one) + cost(other)

    merged = True
    while merged:
        merged = False
        for one, other in itertools.combinations(boxes, 2):
            if belong_together(one, other):
                boxes.remove(one)
                boxes.remove(other)
                boxes.append(one.union(other))
                merged = True
                break
    return boxes


def _separate_boxes(mask: np.ndarray) -> list[Box]:
    """One box for each cluster of holes; coarse blocks keep thousands of specks to a few boxes."""
    side = 8
    while True:
        rows, columns = (-(-length // side) for length in mask.shape)
        padded = np.zeros((rows * side, columns * side), bool)
        padded[: mask.shape[0], : mask.shape[1]] = mask
        blocks = padded.reshape(rows, side, columns, side).any((1, 3))
        bytes_of_blocks: Any = blocks.astype(np.uint8)
        count, _, stats, _ = cv2.connectedComponentsWithStats(bytes_of_blocks, connectivity=8)
        if count - 1 <= _MOST_BOXES:
            break
        side *= 2
    boxes = []
    # The first component is what is no hole; of the others: left, top, width, height, area.
    for left, top, width, height, _ in side * stats[1:]:
        rows_in, columns_in = np.nonzero(padded[top : top + height, left : left + width])
        boxes.append(
            Box(
                int(top + rows_in.min()),
                int(left + columns_in.min()),
                int(top + rows_in.max() + 1),
                int(left + columns_in.max() + 1),
            )
        )
    return boxes


# --- The fill ---------------------------------------------------------------------------------


class Span(NamedTuple):
    """Along one axis, `length` pixels from `start` on. The end may lie outside the image."""

    start: int
    length: int


def fill_window(box: Box, size: tuple[int, int]) -> tuple[Span, Span]:
    """The window in which the harmonic fill of a hole is that of the whole image.

    The fill is solved on grids of cells of 1, 2, 4, ... pixels; from the first grid on in which no
    cell fits into the hole, all cells around it are known, whatever lies farther away. The window
    holds two such cells on every side, and starts where one starts.

    Args:
        box: of the hole.
        size: height and width of the image.
    """
    cell = 2 ** min(box.sides).bit_length()
    spans = []
    for low, high, limit in zip(box[:2], box[2:], size, strict=True):
        start = max(0, low // cell - 2) * cell
        length = round_up(_bucket(high - low) + 5 * cell, GRID)
        whole = Span(0, round_up(limit, GRID))
        spans.append(Span(start, length) if length < whole.length else whole)
    return spans[0], spans[1]


def cut(array_BxHxWxC: np.ndarray, spans: tuple[Span, Span]) -> np.ndarray:
    """A window; rows and columns beyond the end repeat the last one. A view where it can be."""
    rows, columns = spans
    part = array_BxHxWxC[
        :, rows.start : rows.start + rows.length, columns.start : columns.start + columns.length
    ]
    bottom, right = rows.length - part.shape[1], columns.length - part.shape[2]
    if not (bottom or right):
        return part
    return np.pad(part, ((0, 0), (0, bottom), (0, right), (0, 0)), mode="edge")


# --- The network ------------------------------------------------------------------------------


class Extent(NamedTuple):
    """What is computed of one feature map, in cells, along rows and along columns.

    `size` is static. The extent starts `margin` cells before the hole's, moved into the image if it
    sticks out.
    """

    margin: int
    size: tuple[int, int]


class Plan(NamedTuple):
    """What is computed of each feature map; all static under `jit`.

    `seen` is what the filled image must hold, with what statistics of it reach. `extents` are those
    of each layer's input and of the final output; the first is of the filled image, too.

    Along an axis where `padded` is true the first extent reaches beyond the image, where every
    feature map must be zero, as the padding of a convolution is.
    """

    seen: Extent
    extents: tuple[Extent, ...]
    padded: tuple[bool, bool]


class HoleCells(NamedTuple):
    """A hole in an image, along rows and along columns, in cells."""

    start: tuple[int, int]
    size: tuple[int, int]


def hole_cells(box: Box, cell: int, cells: tuple[int, int]) -> HoleCells:
    """The cells of a hole, their number rounded up to one of few, within the image."""
    starts, sizes = [], []
    for low, high, limit in zip(box[:2], box[2:], cells, strict=True):
        size = min(_bucket(high - low // cell * cell) // cell, round_up(limit * cell, GRID) // cell)
        starts.append(max(0, min(low // cell, limit - size)))
        sizes.append(size)
    return HoleCells((starts[0], starts[1]), (sizes[0], sizes[1]))


def plan_extents(
    layers: Sequence[Layer],
    cell: int,
    size: tuple[int, int],
    cells: tuple[int, int],
    reach: int = 0,
) -> Plan:
    """The extents that the output over a hole needs.

    Args:
        layers: all but the 3x3 output layer.
        cell: pixels a cell is wide.
        size: of the hole, in cells.
        cells: of the image.
        reach: of the statistics that the network's first layer needs, in pixels.
    """
    capacity = [round_up(count * cell, GRID) // cell for count in cells]
    needed = margins(layers, cell)
    extents = []
    for margin in (needed[0] + -(-reach // cell), *needed):
        wanted = [length + 2 * margin for length in size]
        fitted = (
            length if length < count else full
            for length, count, full in zip(wanted, cells, capacity, strict=True)
        )
        extents.append(Extent(margin, (next(fitted), next(fitted))))
    first = extents[0].size
    padded = tuple(first[axis] == capacity[axis] != cells[axis] for axis in (0, 1))
    return Plan(extents[0], tuple(extents[1:]), (padded[0], padded[1]))


def extent_starts(plan: Plan, hole: HoleCells, cells: tuple[int, int]) -> np.ndarray:
    """int32 starts_Ex2: the first cell of `seen`, then of each extent, along rows and columns."""
    extents = (plan.seen, *plan.extents)
    margin_Ex1 = np.array([[extent.margin] for extent in extents])
    last_Ex2 = np.maximum(np.array(cells) - np.array([extent.size for extent in extents]), 0)
    return np.clip(np.array(hole.start) - margin_Ex1, 0, last_Ex2).astype(np.int32)


def margins(layers: Sequence[Layer], cell: int) -> list[int]:
    """Cells on every side of the output that each layer's input, the last one's too, and then the
    output itself must hold."""
    pixels, side = 1, 1  # of a 3x3 convolution's input; pixels of the image that a pixel here spans
    needed = [0, -(-pixels * side // cell)]
    for layer in reversed(layers):
        if layer.doubles:
            pixels, side = -(-pixels // 2) + 1, side * 2
        else:
            pixels = pixels * layer.stride + layer.dilation * (layer.size - 1) // 2
            side //= layer.stride
        needed.append(-(-pixels * side // cell))
    return needed[::-1]


def round_up(length: int, multiple: int) -> int:
    """The next multiple."""
    return -(-length // multiple) * multiple


def _bucket(length: int) -> int:
    """A length that few others share: at most a third and 32 pixels larger."""
    if length <= 128:
        return round_up(length, 32)
    return round_up(length, 2 ** (length.bit_length() - 3))
