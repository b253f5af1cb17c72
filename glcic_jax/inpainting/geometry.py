"""Which windows of a photograph its holes need: geometry on the host, NumPy and integers only.

Everything is computed in square windows of a few fixed sizes, so that photographs of all sizes
share the same programs. A window's output is a tile, its input the tile with a margin on every
side, as wide as what is computed can see. Lengths are in pixels, or in cells: a cell is a pixel of
the network's coarsest feature map, `2**downsamples` pixels wide.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np

from glcic_jax.networks.interface import Layer

TILES = (3, 8, 32, 64)
"""Sides of the network's tiles, in cells. The smallest holds any hole of 9 pixels where a cell has
4; the others are multiples of each other."""


class Box(NamedTuple):
    """A rectangle of pixels; `bottom` and `right` are the first row and column outside it."""

    top: int
    left: int
    bottom: int
    right: int


class Tile(NamedTuple):
    """A square of the image; in cells for the network, in pixels for a fill."""

    side: int
    top: int
    left: int


def hole_groups(hole_HxW: np.ndarray, reach: int) -> list[Box]:
    """Boxes of holes, such that no hole outside a box is within `reach` pixels of the box's holes.

    Args:
        hole_HxW: bool, True is the hole.
        reach: in pixels; holes of two boxes may be up to three times as far apart.
    """
    blocks: Any = _any_in_blocks(hole_HxW, reach).astype(np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(blocks, connectivity=8)
    boxes = []
    for number, (left, top, width, height, _) in enumerate(stats[1:], start=1):
        rows = slice(top * reach, (top + height) * reach)
        columns = slice(left * reach, (left + width) * reach)
        own = labels[top : top + height, left : left + width] == number
        used = hole_HxW[rows, columns]
        own = own.repeat(reach, 0).repeat(reach, 1)[: used.shape[0], : used.shape[1]]
        row, column = (np.flatnonzero((used & own).any(axis)) for axis in (1, 0))
        first, start = int(top * reach), int(left * reach)
        boxes.append(
            Box(
                first + int(row[0]),
                start + int(column[0]),
                first + int(row[-1]) + 1,
                start + int(column[-1]) + 1,
            )
        )
    return boxes


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


def near_blocks(hole_HxW: np.ndarray, side: int, reach: int) -> np.ndarray:
    """int array_Nx2: rows and columns of blocks of `side` pixels within `reach` of a hole."""
    blocks = _any_in_blocks(hole_HxW, side).astype(np.uint8)
    steps = -(-reach // side)
    return np.argwhere(cv2.dilate(blocks, np.ones((2 * steps + 1,) * 2, np.uint8)))


# --- The network's tiles --------------------------------------------------------------------------


def work(layers: Sequence[Layer], cell: int, side: int) -> float:
    """Multiplications for one tile of `side` cells, but for a constant factor."""
    total, channels, scale = 0.0, 4, cell
    for layer, margin in zip(layers, margins(layers, cell)[1:], strict=False):
        scale = scale * 2 if layer.doubles else scale // layer.stride
        outputs = ((side + 2 * margin) * scale) ** 2
        # A 3x3 convolution of a doubled map reads 2x2 different pixels.
        taps = 4 if layer.doubles else layer.size**2
        total += outputs * taps * channels * layer.features
        channels = layer.features
    return total


def cover(layers: Sequence[Layer], cell: int, hole_HxW: np.ndarray) -> list[Tile]:
    """Tiles that contain all holes, chosen for little work: many small ones or a few large ones.

    Args:
        layers: all but the output layer.
        cell: pixels a cell is wide.
        hole_HxW: bool, True is the hole; H and W divide by `cell`.

    Returns:
        Tiles in cells. They may overlap, and stick out of the image at the bottom and right.
    """
    cost = [work(layers, cell, side) for side in TILES]
    used_hxw = _any_in_blocks(hole_HxW, cell)
    specks_Nx2, rest_hxw = _small_holes(used_hxw)
    is_counted_N = np.zeros(len(specks_Nx2), bool)
    chosen = {1: _any_in_blocks(rest_hxw, TILES[1])}
    spent = chosen[1] * cost[1]
    for number, side in enumerate(TILES[1:], start=1):
        if number > 1:
            spent = _sums_of_blocks(spent, side // TILES[number - 1])
            chosen[number] = np.zeros(spent.shape, bool)
        # Specks within a block, and what its smaller blocks take, with their specks: is one tile
        # less work?
        block_Nx2 = specks_Nx2 // side
        fits_N = ((specks_Nx2 + TILES[0] - 1) // side == block_Nx2).all(1)
        np.add.at(spent, tuple(block_Nx2[fits_N & ~is_counted_N].T), cost[0])
        is_counted_N |= fits_N
        chosen[number] |= spent > cost[number]
        spent = np.where(chosen[number], cost[number], spent)
        for smaller in range(1, number):
            step = side // TILES[smaller]
            rows, columns = chosen[smaller].shape
            covered = chosen[number].repeat(step, 0).repeat(step, 1)
            chosen[smaller] &= ~covered[:rows, :columns]
        is_left_N = ~(fits_N & chosen[number][tuple(block_Nx2.T)])
        specks_Nx2, is_counted_N = specks_Nx2[is_left_N], is_counted_N[is_left_N]
    tiles = [Tile(TILES[0], int(top), int(left)) for top, left in specks_Nx2]
    for number, used in chosen.items():
        side = TILES[number]
        tiles += [
            Tile(side, int(row) * side, int(column) * side) for row, column in np.argwhere(used)
        ]
    return tiles


def _small_holes(used_hxw: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Top and left of the holes that fit into a smallest tile, and which cells all others use."""
    cells: Any = used_hxw.astype(np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(cells, connectivity=8)
    is_small = (stats[:, 2] <= TILES[0]) & (stats[:, 3] <= TILES[0])
    is_small[0] = False
    return stats[is_small][:, 1::-1], used_hxw & ~is_small[labels]


def _any_in_blocks(used_HxW: np.ndarray, side: int) -> np.ndarray:
    return _sums_of_blocks(used_HxW, side) > 0


def _sums_of_blocks(values_HxW: np.ndarray, side: int) -> np.ndarray:
    rows, columns = (round_up(length, side) for length in values_HxW.shape)
    padded = np.zeros((rows, columns), np.float64 if values_HxW.dtype.kind == "f" else np.int32)
    padded[: values_HxW.shape[0], : values_HxW.shape[1]] = values_HxW
    return padded.reshape(rows // side, side, columns // side, side).sum((1, 3))


# --- The fill's windows ---------------------------------------------------------------------------


class Window(NamedTuple):
    """A tile in pixels, and the square around it that is computed for it."""

    tile: Tile
    side: int
    top: int
    left: int


def fill_windows(
    hole_HxW: np.ndarray, depth: float, corner: tuple[int, int], size: tuple[int, int]
) -> dict[int, list[Window]]:
    """Windows in whose tiles the harmonic fill is that of the whole image, to rounding.

    The fill is solved on grids of cells of 1, 2, 4, ... pixels. In cells of twice the holes' depth
    everything is known, so that no coarser grid matters; along a hole, what lies farther away
    fades by e**-1.6 for each depth (the slowest mode of Laplace's equation between two lines, two
    depths apart). The margin is 4 depths or more, and windows start at a multiple of that cell.

    Args:
        hole_HxW: bool, True is a hole to fill: a part of an image.
        depth: of the deepest, in pixels.
        corner: the image's row and column at which the part begins.
        size: height and width of the whole image.

    Returns:
        Windows by their side, a power of 2, with places in pixels of the part. Those at the image's
        border begin there; they may end beyond it. None is larger than one that holds the image.
    """
    cell = 8
    while cell < 2 * depth:
        cell *= 2
    whole = max(64, 2 ** (max(size) - 1).bit_length())
    if whole <= 8 * cell:
        start = (-corner[0], -corner[1])
        return {whole: [Window(Tile(whole, *start), whole, *start)]}
    small, margin = 4 * cell, 2 * cell
    large = 28 * cell if whole > 32 * cell else whole
    # Tiles lie on a grid of the whole image.
    before = tuple(start % large for start in corner)
    blocks = _any_in_blocks(np.pad(hole_HxW, [(pad, 0) for pad in before]), small)
    step = large // small
    large_margin = 0 if large == whole else margin
    many = _sums_of_blocks(blocks, step) > ((large + 2 * large_margin) / (small + 2 * margin)) ** 2
    covered = many.repeat(step, 0).repeat(step, 1)[: blocks.shape[0], : blocks.shape[1]]
    found = {}
    for side, around, used in ((small, margin, blocks & ~covered), (large, large_margin, many)):
        if used.any():
            found[side + 2 * around] = _windows(used, side, around, corner, before)
    return found


def start_windows(
    hole_HxW: np.ndarray, side: int, margin: int, corner: tuple[int, int]
) -> list[Window]:
    """As `fill_windows`, of one size: tiles of `side` pixels on a grid of the part."""
    return _windows(_any_in_blocks(hole_HxW, side), side, margin, corner, (0, 0))


def _windows(
    used_hxw: np.ndarray, side: int, margin: int, corner: tuple[int, ...], before: tuple[int, ...]
) -> list[Window]:
    """A window for each used block of a grid that begins `before` pixels above and beside."""
    windows = []
    for row, column in np.argwhere(used_hxw):
        top, left = int(row) * side - before[0], int(column) * side - before[1]
        start = [max(first - margin, -at) for first, at in zip((top, left), corner, strict=True)]
        windows.append(Window(Tile(side, top, left), side + 2 * margin, start[0], start[1]))
    return windows
