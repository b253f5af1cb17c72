"""Which windows cover holes, and how often holes are halved: what must hold for any mask."""

from __future__ import annotations

import cv2
import jax
import numpy as np
import pytest
from scipy import ndimage

from glcic_jax.config.settings import Config, ModelConfig
from glcic_jax.imaging import depths
from glcic_jax.inpainting import geometry
from glcic_jax.inpainting.geometry import TILES, Box, Tile
from glcic_jax.inpainting.stages import hole_stages
from glcic_jax.networks.registry import build_generator

CELL = 4
LAYERS = build_generator(Config(model=ModelConfig(generator="skip", dilations=(2, 1, 1)))).layers()


def random_mask(seed: int) -> np.ndarray:
    """bool mask_HxW: boxes, a scratch and specks in an image of any size in whole cells."""
    rng = np.random.default_rng(seed)
    mask = np.zeros(CELL * rng.integers(2, 100, 2), bool)
    for _ in range(rng.integers(0, 8)):
        top, left = (rng.integers(0, length) for length in mask.shape)
        height, width = rng.integers(1, 70, 2)
        mask[top : top + height, left : left + width] = True
    line = [tuple(int(rng.integers(0, length)) for length in mask.shape[::-1]) for _ in range(2)]
    mask |= cv2.line(np.zeros(mask.shape, np.uint8), *line, 1, int(rng.integers(1, 8))) > 0
    return mask | (rng.random(mask.shape) < 0.002)


def cells_of(tiles: list[Tile], mask: np.ndarray) -> np.ndarray:
    """Which pixels lie in a tile; those that stick out are cut off."""
    covered = np.zeros_like(mask)
    for side, top, left in tiles:
        assert top >= 0
        assert left >= 0
        end = [(start + side) * CELL for start in (top, left)]
        covered[top * CELL : end[0], left * CELL : end[1]] = True
    return covered


@pytest.mark.parametrize("seed", range(12))
def test_tiles_cover_every_hole(seed):
    mask = random_mask(seed)
    tiles = geometry.cover(LAYERS, CELL, mask)
    assert {tile.side for tile in tiles} <= set(TILES)
    assert len(set(tiles)) == len(tiles)
    assert cells_of(tiles, mask)[mask].all()
    # Hardly more work than with tiles of one size; a speck may lie on the border of two.
    cost = sum(geometry.work(LAYERS, CELL, tile.side) for tile in tiles)
    for side in TILES[1:]:
        count = geometry._any_in_blocks(mask, side * CELL).sum()
        assert cost <= 1.15 * count * geometry.work(LAYERS, CELL, side)


def test_tiles_suit_the_holes():
    specks = np.zeros((768, 768), bool)
    specks[100::200, 130::200] = specks[101::200, 130::200] = True
    assert {tile.side for tile in geometry.cover(LAYERS, CELL, specks)} == {TILES[0]}
    assert {tile.side for tile in geometry.cover(LAYERS, CELL, ~specks)} == {TILES[-1]}
    # As many in a larger tile's place as are just less work one by one, however often asked.
    one, all_in_one = (geometry.work(LAYERS, CELL, side) for side in (TILES[0], TILES[2]))
    near = np.zeros((TILES[3] * CELL, TILES[3] * CELL), bool)
    for number in range(int(all_in_one / one)):
        near[10 + 32 * (number // 3), 10 + 40 * (number % 3)] = True
    assert {tile.side for tile in geometry.cover(LAYERS, CELL, near)} == {TILES[0]}
    scratch = np.zeros((768, 768), bool)
    scratch[:, 401:405] = True
    assert {tile.side for tile in geometry.cover(LAYERS, CELL, scratch)} == {TILES[1]}


@pytest.mark.parametrize("seed", range(8))
def test_groups_of_holes_contain_all_and_are_far_apart(seed):
    mask, reach = random_mask(seed), 24
    boxes = geometry.hole_groups(mask, reach)
    counted = np.zeros(mask.shape, int)
    for top, left, bottom, right in boxes:
        counted[top:bottom, left:right] += 1
        assert mask[top:bottom, left:right].any()
    assert (counted[mask] >= 1).all()
    lone = mask.copy()
    top, left, bottom, right = boxes[0]
    lone[top:bottom, left:right] = False
    if lone.any() and len(boxes) > 1:
        away = ndimage.distance_transform_cdt(~lone, "chessboard")
        own = np.zeros_like(mask)
        own[top:bottom, left:right] = mask[top:bottom, left:right]
        overlaps = counted[top:bottom, left:right].max() > 1
        assert overlaps or away[own].min() > reach


def test_the_box_of_a_single_pixel():
    mask = np.zeros((90, 70), bool)
    mask[89, 0] = True
    assert geometry.hole_groups(mask, 40) == [Box(89, 0, 90, 1)]


@pytest.mark.parametrize("size", [(0, 0), (2000, 900), (2000, 4097)])
@pytest.mark.parametrize("corner", [(0, 0), (64, 128), (36, 4)])
@pytest.mark.parametrize("depth", [1.0, 5.0, 30.0])
def test_windows_of_the_fill_cover_holes_with_their_surroundings(depth, corner, size):
    mask = random_mask(3)
    # At least as large as the part of it.
    size = tuple(int(side) for side in np.maximum(size, np.add(corner, mask.shape)))
    found = geometry.fill_windows(mask, depth, corner, size)
    covered = np.zeros_like(mask)
    for side, windows in found.items():
        assert side == 64 or side < 2 * max(size)
        for window in windows:
            tile, start = window.tile, (window.top, window.left)
            places = zip((tile.top, tile.left), start, corner, size, strict=True)
            for first, begin, place, length in places:
                at_border, ends_beyond = begin + place == 0, begin + place + side >= length
                assert first - begin >= (0 if at_border else 4 * depth)
                assert ends_beyond or begin + side - first - tile.side >= 4 * depth
                # The grid of cells in which everything is known is that of the whole image.
                cell = 2 ** int(np.ceil(np.log2(max(2 * depth, 8))))
                assert (begin + place) % cell == 0
            rows, columns = (slice(max(at, 0), max(at + tile.side, 0)) for at in tile[1:])
            covered[rows, columns] = True
    assert covered[mask].all()


def test_no_window_of_the_fill_is_larger_than_one_that_holds_the_image():
    deep = np.zeros((100, 90), bool)
    deep[5:95, 5:85] = True
    assert geometry.fill_windows(deep, 40.0, (0, 0), deep.shape) == {
        128: [geometry.Window(geometry.Tile(128, 0, 0), 128, 0, 0)]
    }
    many = np.ones((300, 300), bool)
    many[::12] = many[:, ::12] = False
    assert geometry.fill_windows(many, 6.0, (0, 0), many.shape).keys() == {512}
    assert geometry.fill_windows(many, 12.0, (0, 0), many.shape).keys() == {512}


def brute_force_stages(mask: np.ndarray, deepest: float, most: int) -> np.ndarray:
    known = np.pad(
        ~mask, [(side, side) for side in mask.shape]
    )  # far more of what is not known around it
    depth = ndimage.distance_transform_cdt(~known, "chessboard")
    depth = depth[mask.shape[0] : 2 * mask.shape[0], mask.shape[1] : 2 * mask.shape[1]]
    labels, count = ndimage.label(mask, np.ones((3, 3)))
    stage = np.zeros(mask.shape, int)
    for number in range(1, count + 1):
        own = labels == number
        halved, reach = 0, deepest
        while depth[own].max() > reach and halved < most:
            halved, reach = halved + 1, 2 * reach
        stage[own] = 1 + halved
    return stage


@pytest.mark.parametrize("deepest", [1.0, 4.5, 9.0])
@pytest.mark.parametrize("seed", range(4))
def test_stages_on_the_host_and_in_a_program_are_those_of_the_definition(seed, deepest):
    mask = random_mask(seed)
    mask[0, 0] = False
    most = depths.most_halvings(*mask.shape, deepest)
    wanted = brute_force_stages(mask, deepest, most)
    np.testing.assert_array_equal(hole_stages(mask, deepest, most), wanted)
    jitted = jax.jit(depths.hole_stages, static_argnums=(1, 2))
    found = jitted(mask[None, ..., None].astype(np.float32), deepest, most)
    np.testing.assert_array_equal(found[0, ..., 0], wanted)


@pytest.mark.parametrize(
    ("depth", "deepest", "expected"),
    [(4, 4.5, 0), (5, 4.5, 1), (9, 4.5, 1), (10, 4.5, 2), (0, 3, 0)],
)
def test_a_hole_is_halved_until_it_is_not_too_deep(depth, deepest, expected):
    assert depths.halvings(depth, deepest) == expected


def test_images_are_halved_as_long_as_something_is_left():
    assert depths.most_halvings(32, 32, 9) == 1
    assert depths.most_halvings(15, 500, 4.5) == 0
    assert depths.most_halvings(2000, 3000, 4.5) == 6
    assert depths.most_halvings(2000, 3000, 0) == 0
