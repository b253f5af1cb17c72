"""Texture for smooth fills: known answers, and what must hold for any picture."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
import skimage.data

from glcic_jax import inpaint_fn, load_generator
from glcic_jax.errors import UserError
from glcic_jax.evaluation.photographs import fill_harmonic
from glcic_jax.inpainting.texture.labels import choose
from glcic_jax.inpainting.texture.patches import part_bands, where_whole
from glcic_jax.inpainting.texture.periods import likely_periods
from glcic_jax.inpainting.texture.photograph import add_texture

DOWN, RIGHT = np.mgrid[:200, :220]


def gray(values) -> np.ndarray:
    return np.repeat(np.uint8(np.clip(np.round(values), 0, 255))[..., None], 3, -1)


def hole(shape, top: int = 70, left: int = 80, height: int = 48, width: int = 60) -> np.ndarray:
    mask = np.zeros(shape[:2], bool)
    mask[top : top + height, left : left + width] = True
    return mask


def textured(image, mask, sources=None) -> np.ndarray:
    sources = np.ones_like(mask) if sources is None else sources
    return add_texture(image[None], mask[None], mask[None], sources[None])[0]


def detail(image, mask) -> float:
    """Mean absolute Laplacian in the hole."""
    x = image.astype(float)
    edges = 4 * x[1:-1, 1:-1] - x[:-2, 1:-1] - x[2:, 1:-1] - x[1:-1, :-2] - x[1:-1, 2:]
    return float(np.abs(edges)[mask[1:-1, 1:-1]].mean())


LOW, FAR = np.mgrid[:240, :400]
PERIODIC = {
    "checkerboard": gray(30 + 190 * ((LOW // 8 + FAR // 8) % 2)),
    "waves": gray(128 + 60 * np.sin(2 * np.pi * FAR / 7) * np.cos(2 * np.pi * LOW / 11)),
    "bricks": gray(200 - 120 * ((LOW % 12 < 2) | ((FAR + 9 * (LOW // 12 % 2)) % 18 < 2))),
}


# Those of several squares go on over the seams between them.
BOXES = {"one square": (70, 80, 48, 60), "wide": (90, 110, 60, 180), "tall": (50, 150, 140, 40)}


@pytest.mark.parametrize("box", BOXES)
@pytest.mark.parametrize("name", PERIODIC)
def test_a_periodic_texture_is_continued_exactly(name, box):
    image = PERIODIC[name]
    mask = hole(image.shape, *BOXES[box])
    blurred = np.where(mask[..., None], np.uint8(image.mean()), image)
    np.testing.assert_array_equal(textured(blurred, mask), image)
    if box != "one square":
        return
    floats = textured(blurred.astype(np.float32) / 255, mask)
    np.testing.assert_allclose(floats, image / 255, rtol=0, atol=1e-5)


def test_the_periods_of_an_image_are_found_where_they_serve():
    """A hole of 40 rows and 60 columns can only be copied from beyond it."""
    image = PERIODIC["waves"][:128, :128] / np.float32(255)
    known = ~hole(image.shape, 40, 30, 40, 60)
    first = np.zeros(known.shape, bool)
    first[40:64:8, 30:74:8] = True
    found = np.asarray(likely_periods(image, known, first, where_whole(jnp.asarray(known)), 8))
    assert len(np.unique(found, axis=0)) > 3
    rows, columns = found[found.any(1)].T
    assert len(rows) > 3
    # The wave is also itself half a period on in both: 5.5 rows and 3.5 columns.
    assert ((rows % 11 == 0) & (columns % 7 == 0)).all()
    assert ((abs(rows) >= 40) | (abs(columns) >= 60)).any()


def test_nothing_is_called_a_period_where_nothing_repeats():
    noise = np.random.default_rng(0).random((64, 64, 3), np.float32)
    known = ~hole(noise.shape, 20, 20, 24, 24)
    first = ~known
    found = likely_periods(noise, known, first, where_whole(jnp.asarray(known)), 8)
    assert not np.asarray(found).any()


def test_an_edge_between_two_textures_stays_where_the_fill_has_it():
    noise = np.random.default_rng(0)
    fine = 70 + 25 * noise.standard_normal(DOWN.shape)
    coarse = 180 + 40 * np.sin(2 * np.pi * (RIGHT + DOWN) / 9)
    edge = 108
    image = gray(np.where(edge > RIGHT, fine, coarse))
    mask = hole(image.shape)
    smooth = np.where(edge > RIGHT, 70, 180)[..., None]
    start = np.where(mask[..., None], smooth, image).astype(np.uint8)
    found = textured(start, mask).astype(float).mean(-1)
    inside = slice(78, 110)
    for place, mean in (((inside, slice(84, edge - 6)), 70), ((inside, slice(edge + 6, 136)), 180)):
        assert abs(found[place].mean() - mean) < 8
        assert 0.6 < found[place].std() / image[place].std() < 1.3


def test_of_one_colour_the_grain_around_says_what_belongs_there():
    """Low frequencies are alike everywhere; the left half is rough, the right one smooth."""
    noise = np.random.default_rng(0).standard_normal(DOWN.shape)
    mask = hole(DOWN.shape)
    rough = gray(np.where(RIGHT < 110, 128 + 30 * noise, 128 + noise))
    found = textured(np.where(mask[..., None], np.uint8(128), rough), mask)[..., 0].astype(float)
    assert 15 < found[78:110, 84:102].std() < 45
    assert found[78:110, 118:136].std() < 4


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (200, 30, 90)])
def test_flat_walls_stay_flat(colour):
    wall = np.broadcast_to(np.uint8(colour), (200, 220, 3))
    for image in (wall, wall.astype(np.float32) / 255):
        np.testing.assert_array_equal(textured(image, hole(wall.shape)), image)


def test_colours_of_transparent_pixels_are_not_read():
    photo = skimage.data.chelsea()[:90, :100]
    alpha = np.full((90, 100, 1), 255, np.uint8)
    alpha[:25] = 0  # touches the hole
    mask = hole(photo.shape, 25, 30, 40, 45)
    model, found = load_generator("photographs"), []
    for colour in (0, 255):
        image = np.concatenate([np.where(alpha == 0, np.uint8(colour), photo), alpha], -1)
        found.append(inpaint_fn(*model, image, mask, texture=True))
        np.testing.assert_array_equal(found[-1][:25], image[:25])
    np.testing.assert_array_equal(found[0][25:], found[1][25:])


def test_gray_photographs_stay_gray_and_known_pixels_as_they_are():
    photo = np.repeat(skimage.data.chelsea()[50:250, 100:320, :1], 3, -1)
    mask = hole(photo.shape)
    found = textured(fill_harmonic(photo, mask), mask)
    assert np.ptp(found.astype(int), axis=-1).max() == 0
    np.testing.assert_array_equal(found[~mask], photo[~mask])


def test_what_the_hole_hid_and_what_is_no_source_is_never_read():
    photo = skimage.data.chelsea()[50:250, 100:320]
    mask = hole(photo.shape)
    start = fill_harmonic(photo, mask)
    sources = RIGHT > 145
    alone = textured(start, mask, sources)
    other = start.copy()
    far = ~mask & (RIGHT < 60)  # beyond what the low frequencies at the rim reach
    other[far] = 255 - other[far]
    np.testing.assert_array_equal(textured(other, mask, sources)[mask], alone[mask])
    assert (textured(start, mask)[mask] != alone[mask]).any()


@pytest.mark.parametrize(("photo", "top", "left"), [("chelsea", 40, 20), ("coffee", 150, 100)])
def test_fills_of_photographs_get_the_detail_of_their_surroundings(photo, top, left):
    image = getattr(skimage.data, photo)()[top : top + 200, left : left + 220]
    mask = hole(image.shape)
    plain = fill_harmonic(image, mask)
    found = textured(plain, mask)
    wanted = detail(image, mask)
    assert detail(plain, mask) < 0.1 * wanted
    assert 0.3 < detail(found, mask) / wanted < 1.5
    low, other = (
        np.asarray(part_bands(jnp.asarray(x, jnp.float32) / 255, mask).low)[mask]
        for x in (plain, found)
    )
    assert np.abs(low - other).mean() < 0.02, "low frequencies are the fill's"


def test_no_source_is_repeated_from_block_to_block():
    """Blocks lie 8 pixels apart: what neighbours both take is seen as a pattern of that period."""
    likeness = []
    for photo, top in ((skimage.data.chelsea(), 50), (skimage.data.coffee(), 150)):
        for left in (50, 80):
            image = gray(photo[top : top + 200, left : left + 220, 0])
            mask = hole(image.shape)
            plain = fill_harmonic(image, mask)
            added = (textured(plain, mask).astype(float) - plain)[80:108, 90:130, 0]
            likeness += [
                np.mean(one * other) / np.mean(added**2)
                for one, other in ((added[:-8], added[8:]), (added[:, :-8], added[:, 8:]))
            ]
    assert np.mean(likeness) < 0.08


def test_only_deep_holes_get_texture_by_themselves():
    photo = skimage.data.chelsea()[50:250, 100:320]
    mask = hole(photo.shape, height=25) | hole(photo.shape, 10, 10, 24, 60)
    start = fill_harmonic(photo, mask)
    found = textured(start, mask)
    np.testing.assert_array_equal(found[:40], start[:40])
    assert (found[mask] != start[mask]).any()


def test_surroundings_too_small_to_copy_from_are_told_once(caplog):
    photo = skimage.data.chelsea()[50:300, 100:350]
    mask = hole(photo.shape, 8, 8, 234, 234)
    start = fill_harmonic(photo, mask)
    np.testing.assert_array_equal(textured(start, mask), start)
    assert [record.message for record in caplog.records] == [
        "4 of 4 squares of holes get no texture, the first at row 8, column 8: nothing around them "
        "that may be copied holds a square of 16 pixels"
    ]


def test_a_very_deep_hole_is_textured_where_one_block_is_known():
    """Of half the size no whole block is known."""
    photo = skimage.data.chelsea()[50:178, 100:228]
    mask = ~hole(photo.shape, 50, 50, 20, 20)
    start = fill_harmonic(photo, mask)
    found = textured(start, mask)
    assert (found[30:90, 30:90] != start[30:90, 30:90]).any()
    np.testing.assert_array_equal(found[~mask], photo[~mask])


@pytest.mark.parametrize("seed", range(12))
def test_the_cheapest_labels_of_a_chain_are_found(seed):
    rng = np.random.default_rng(seed)
    cost = rng.random((1, 5, 3)).astype(np.float32)
    pairs = rng.random((1, 5, 3, 3)).astype(np.float32)

    def total(labels):
        between = sum(pairs[0, n, labels[n], labels[n + 1]] for n in range(4))
        return sum(cost[0, n, label] for n, label in enumerate(labels)) + between

    best = min(np.ndindex(*(3,) * 5), key=total)
    none = np.zeros_like(pairs)
    np.testing.assert_array_equal(np.asarray(choose(cost, pairs, none))[0], best)
    down, downward, none = (x.swapaxes(0, 1) for x in (cost, pairs, none))
    np.testing.assert_array_equal(np.asarray(choose(down, none, downward))[:, 0], best)


def test_the_public_function_takes_sources_and_refuses_what_leaves_none():
    model = load_generator("photographs")
    photo = skimage.data.chelsea()[50:250, 100:320]
    mask = hole(photo.shape)
    plain = inpaint_fn(*model, photo, mask)
    found = inpaint_fn(*model, photo, mask, texture="auto")
    np.testing.assert_array_equal(found, textured(plain, mask))
    left = RIGHT < 70
    found = inpaint_fn(*model, photo, mask, texture=True, sources=left)
    np.testing.assert_array_equal(found, textured(plain, mask, left))
    with pytest.raises(UserError, match="leave no known pixel to copy texture from"):
        inpaint_fn(*model, photo, mask, texture=True, sources=mask)
    for wrong in ("on", "off", 2, None, np.array([1, 2])):
        with pytest.raises(UserError, match=r"texture is .*; expected True, False or"):
            inpaint_fn(*model, photo, mask, texture=wrong)
    with pytest.raises(UserError, match=r"^sources is no array"):
        inpaint_fn(*model, photo, mask, texture=True, sources=[[1], [1, 0]])
    with pytest.raises(UserError, match=r"^sources has shape"):
        inpaint_fn(*model, photo, mask, texture=True, sources=mask[:9])
    with pytest.raises(UserError, match=r"^sources has the values"):
        inpaint_fn(*model, photo, mask, texture=True, sources=np.full(mask.shape, 7))
