"""Fill the holes of photographs on the host's side, coarse to fine, window by window.

The result is that of `coarse_to_fine.complete` on the whole photograph. At each size, from the
coarsest on: a start in the holes (a smooth fill, or the doubled completion of the size before),
sums of cells for the local contrast, then the network. `geometry.py` says in which windows. Images
too small for windows are computed whole, `small_images.py`.
"""

from __future__ import annotations

import functools

import cv2
import jax
import jax.numpy as jnp
import numpy as np

from glcic_jax.imaging.depths import most_halvings
from glcic_jax.imaging.fills import Frame, harmonic_fill
from glcic_jax.imaging.levels import START_REACH, start_from_half
from glcic_jax.imaging.values import white
from glcic_jax.inpainting import geometry
from glcic_jax.inpainting.blending import add_membrane, rim_of
from glcic_jax.inpainting.canvas import Canvas, halved, open_canvas
from glcic_jax.inpainting.coarse_to_fine import padding_multiple
from glcic_jax.inpainting.geometry import Tile, Window
from glcic_jax.inpainting.partial import Place, chain, complete_windows
from glcic_jax.inpainting.prepared import Prepared
from glcic_jax.inpainting.small_images import SMALL, fill_small
from glcic_jax.inpainting.stages import hole_stages
from glcic_jax.inpainting.windows import batch_size, cut, cut_repeated, in_batches
from glcic_jax.networks.contrast import CELL, CELL_SUMS, REACH, cell_sums
from glcic_jax.networks.interface import Generator
from glcic_jax.runtime import devices

_BLOCK = 64
"""Side in pixels of the blocks of which cells are summed up."""
_RISE = 96
"""Side in pixels of the tiles that start from the half."""


def fill_holes(prepared: Prepared, image_BxHxWx3: np.ndarray, hole_BxHxW: np.ndarray) -> np.ndarray:
    """Complete images; every known pixel stays bit for bit.

    Args:
        prepared: the generator.
        image_BxHxWx3: uint8, uint16, or any float in [0, 1].
        hole_BxHxW: bool, True is the hole; every image has a known pixel.

    Returns:
        New images of the same dtype.
    """
    if not hole_BxHxW.any():
        return image_BxHxWx3.copy()
    if is_small(prepared.generator, hole_BxHxW) and not prepared.blends:
        return fill_small(prepared, image_BxHxWx3, hole_BxHxW)
    completed = image_BxHxWx3.copy()
    for image, hole in zip(completed, hole_BxHxW, strict=True):
        if hole.any():
            _fill_photograph(prepared, image, _stages(prepared.generator, hole))
    return completed


def is_small(generator: Generator, hole_BxHxW: np.ndarray) -> bool:
    """Whether images are computed whole: small ones, in which no hole starts from the half."""
    if max(hole_BxHxW.shape[1:]) > SMALL:
        return False
    return all(_stages(generator, hole).max() <= 1 for hole in hole_BxHxW if hole.any())


def _stages(generator: Generator, hole_HxW: np.ndarray) -> np.ndarray:
    most = most_halvings(hole_HxW.shape[0], hole_HxW.shape[1], generator.deepest)
    return hole_stages(hole_HxW, generator.deepest, most)


def _fill_photograph(prepared: Prepared, image_HxWx3: np.ndarray, stage_HxW: np.ndarray) -> None:
    """Complete an image in place; `stage_HxW` is 0 where it is known."""
    height, width = stage_HxW.shape
    rounded = padding_multiple(prepared.generator, height, width)
    mirrored = prepared.generator.mirror_margin
    size = (
        geometry.round_up(height + 2 * mirrored, rounded),
        geometry.round_up(width + 2 * mirrored, rounded),
    )
    coarsest = 2 ** (int(stage_HxW.max()) - 1)
    reach = coarsest * _reach(prepared, stage_HxW, coarsest)
    multiple = coarsest * max(prepared.cell, CELL)
    for box in geometry.hole_groups(stage_HxW > 0, reach):
        canvas = open_canvas(image_HxWx3, stage_HxW, size, box, reach, multiple, mirrored)
        rim = rim_of(canvas.stage > 0, canvas.hole) if prepared.blends else None
        completed = _complete(prepared, canvas, rim)
        where = tuple(slice(low, high) for low, high in zip(box[:2], box[2:], strict=True))
        rows, columns = (
            slice(low + mirrored - start, high + mirrored - start)
            for low, high, start in zip(box[:2], box[2:], (canvas.top, canvas.left), strict=True)
        )
        hole = canvas.stage[rows, columns] > 0
        values = completed[rows, columns][hole]
        if image_HxWx3.dtype.kind == "u":
            values = np.round(np.clip(values, 0.0, 1.0) * np.float32(white(image_HxWx3.dtype)))
        image_HxWx3[where][hole] = values.astype(image_HxWx3.dtype)


def _reach(prepared: Prepared, stage_HxW: np.ndarray, coarsest: int) -> int:
    """Pixels of the coarsest size around a hole that decide how it is completed."""
    seen = prepared.margins[0] * prepared.cell
    seen += REACH if prepared.generator.contrast == "local" else 0
    # A fill reads windows of less than 8 times the depth around a hole.
    depth = float(cv2.distanceTransform((stage_HxW > 0).astype(np.uint8), cv2.DIST_C, 3).max())
    return max(seen, geometry.round_up(8 * int(depth) // coarsest, 32))


def _complete(prepared: Prepared, canvas: Canvas, rim_HxW: np.ndarray | None = None) -> np.ndarray:
    """The canvas's image, completed in place where its stage is not 0; blended, with a rim."""
    half = _complete(prepared, halved(canvas)) if canvas.stage.max() > 1 else None
    filled = canvas.image
    _fill_smoothly(prepared, canvas, filled)
    if half is not None:
        _start_from_half(canvas, half, filled)
    cells = _cell_sums(canvas, filled) if prepared.generator.contrast == "local" else None
    _run_network(prepared, canvas, filled, cells, rim_HxW)
    return filled


# --- The start ------------------------------------------------------------------------------------


def _fill_smoothly(prepared: Prepared, canvas: Canvas, filled_HxWx3: np.ndarray) -> None:
    """Fill the holes that don't start from the half, in place."""
    wanted = canvas.hole & (canvas.stage <= 1)
    if prepared.generator.fill == "mean":
        filled_HxWx3[wanted] = np.asarray(prepared.mean_pixel)
        return
    if not wanted.any():
        return
    depth = float(cv2.distanceTransform(wanted.astype(np.uint8), cv2.DIST_C, 3).max())
    corner = (canvas.top, canvas.left)

    def arrays(window: Window) -> tuple:
        place = (window.top, window.left, window.side)
        hole = cut(canvas.hole, *place)[..., None]
        return cut(canvas.image, *place), hole, _frame(canvas, window)

    program = functools.partial(_harmonic, prepared.mean_pixel)
    for side, windows in geometry.fill_windows(wanted, depth, corner, canvas.size).items():
        for window, surface in in_batches(program, windows, arrays, batch_size(side)):
            _write(filled_HxWx3, wanted, window.tile, _tile_of(window, surface))


def _start_from_half(canvas: Canvas, half_hxwx3: np.ndarray, filled_HxWx3: np.ndarray) -> None:
    """Fill the other holes from the completed half, in place."""
    wanted = canvas.stage > 1

    def arrays(window: Window) -> tuple:
        place = (window.top, window.left, window.side)
        hole = cut(canvas.hole, *place)[..., None]
        half = cut_repeated(half_hxwx3, window.top // 2, window.left // 2, window.side // 2)
        return half, cut_repeated(canvas.image, *place), hole, _frame(canvas, window)

    windows = geometry.start_windows(wanted, _RISE, START_REACH, (canvas.top, canvas.left))
    count = batch_size(_RISE + 2 * START_REACH)
    for window, surface in in_batches(_rise, windows, arrays, count):
        _write(filled_HxWx3, wanted, window.tile, _tile_of(window, surface))


def _frame(canvas: Canvas, window: Window) -> np.ndarray:
    """A window's `fills.Frame` as int32 frame_3."""
    height, width = canvas.size
    rows, columns = height - canvas.top - window.top, width - canvas.left - window.left
    return np.array((rows, columns, max(height, width)), np.int32)


def _tile_of(window: Window, values_SxSx3: np.ndarray) -> np.ndarray:
    row, column = window.tile.top - window.top, window.tile.left - window.left
    return values_SxSx3[row : row + window.tile.side, column : column + window.tile.side]


@jax.jit
def _harmonic(mean_pixel, image, hole, frame_Bx3):
    def one(image, hole, frame_3):
        mask = hole[None].astype(jnp.float32)
        return harmonic_fill(image[None], mask, mean_pixel, frame=Frame(*frame_3))[0]

    return jax.vmap(one)(image, hole, frame_Bx3)


@jax.jit
def _rise(half, image, hole, frame_Bx3):
    def one(half, image, hole, frame_3):
        mask = hole[None].astype(jnp.float32)
        return start_from_half(half[None], image[None], mask, Frame(*frame_3))[0]

    return jax.vmap(one)(half, image, hole, frame_Bx3)


# --- The network ----------------------------------------------------------------------------------


def _cell_sums(canvas: Canvas, filled_HxWx3: np.ndarray) -> np.ndarray:
    """float32 cells_hxwxC of the canvas, wherever a hole is near enough to see them."""
    height, width = canvas.hole.shape
    cells_hxwxC = np.zeros((height // CELL, width // CELL, CELL_SUMS), np.float32)
    near = geometry.near_blocks(canvas.stage > 0, _BLOCK, 2 * REACH + _BLOCK)
    blocks = [(int(row) * _BLOCK, int(column) * _BLOCK) for row, column in near]
    everywhere = np.ones((height, width, 1), bool)

    def arrays(block: tuple[int, int]) -> tuple:
        hole = cut(canvas.hole, *block, _BLOCK)[..., None]
        return cut(filled_HxWx3, *block, _BLOCK), hole, cut(everywhere, *block, _BLOCK)

    for (top, left), sums in in_batches(_sums, blocks, arrays, batch_size(_BLOCK)):
        part = cells_hxwxC[top // CELL :, left // CELL :][: len(sums), : len(sums)]
        part[:] = sums[: part.shape[0], : part.shape[1]]
    return cells_hxwxC


@jax.jit
def _sums(filled, hole, inside):
    return cell_sums(filled, hole.astype(jnp.float32), inside.astype(jnp.float32))


def _run_network(
    prepared: Prepared,
    canvas: Canvas,
    filled_HxWx3: np.ndarray,
    cells_hxwxC: np.ndarray | None,
    rim_HxW: np.ndarray | None,
) -> None:
    """Complete, in place, the holes whose stage is not 0."""
    cell, most = prepared.cell, prepared.margins[0]
    hole = canvas.stage > 0 if prepared.generator.refines else canvas.stage == 1
    if not hole.any():
        return
    wanted = hole if rim_HxW is None else hole | rim_HxW
    first_2 = np.array((canvas.top, canvas.left)) // cell
    cells_2 = np.array(canvas.size) // cell

    def arrays(tile: Tile) -> tuple:
        top, left, side = tile.top - most, tile.left - most, tile.side + 2 * most
        place = (top * cell, left * cell, side * cell)
        missing = cut(canvas.hole, *place)[..., None]
        corner_2 = (first_2 + np.array((top, left))).astype(np.int32)
        found = (cut(filled_HxWx3, *place), missing, corner_2, cells_2.astype(np.int32))
        if cells_hxwxC is None:
            return found
        around = (REACH // CELL, (side * cell + 2 * REACH) // CELL)
        first = (place[0] // CELL - around[0], place[1] // CELL - around[0])
        return (*found, cut(cells_hxwxC, *first, around[1]))

    tiles = geometry.cover(chain(prepared.generator), cell, wanted)
    program = functools.partial(
        _complete_tiles,
        prepared.generator,
        prepared.margins,
        prepared.folded,
        prepared.mean_pixel,
    )
    outputs: list[tuple[Tile, np.ndarray]] = []
    for side in geometry.TILES:
        of_side = [tile for tile in tiles if tile.side == side]
        count = batch_size((side + 2 * most) * cell)
        outputs += in_batches(program, of_side, arrays, count)
    known_Nx3 = None if rim_HxW is None else filled_HxWx3[rim_HxW]
    for tile, output in outputs:  # only now: until here windows read what the network starts from
        pixels = Tile(tile.side * cell, tile.top * cell, tile.left * cell)
        _write(filled_HxWx3, wanted, pixels, output)
    if rim_HxW is not None:
        add_membrane(filled_HxWx3, hole, rim_HxW, known_Nx3 - filled_HxWx3[rim_HxW])
        filled_HxWx3[rim_HxW] = known_Nx3


@functools.partial(devices.jit, static_argnums=(0, 1))
def _complete_tiles(
    generator, margins, folded, mean_pixel, filled, hole, corner_Bx2, cells_Bx2, cells=None
):
    mask, place = hole.astype(jnp.float32), Place(corner_Bx2, cells_Bx2)
    return complete_windows(generator, margins, folded, mean_pixel, filled, mask, place, cells)


def _write(
    target_HxWx3: np.ndarray, wanted_HxW: np.ndarray, tile: Tile, values_SxSx3: np.ndarray
) -> None:
    """Write a tile, in pixels, where it is wanted; parts of it may lie outside."""
    rows, columns = (
        slice(max(start, 0), max(start + tile.side, 0)) for start in (tile.top, tile.left)
    )
    part, where = target_HxWx3[rows, columns], wanted_HxW[rows, columns, None]
    values = values_SxSx3[rows.start - tile.top :, columns.start - tile.left :]
    np.copyto(part, values[: part.shape[0], : part.shape[1]], where=where)
