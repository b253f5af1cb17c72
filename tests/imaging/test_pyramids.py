"""Crops out of a buffer of halved photographs, against Pillow and against what must hold."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import skimage.data
from PIL import Image

from glcic_jax.imaging import pyramids
from glcic_jax.imaging.pyramids import build_pyramids, count_pixels, cut_crops

SIDE = 32
SCALES = (1.0, 20.0)
PHOTOS = [
    skimage.data.astronaut(),
    skimage.data.chelsea(),
    skimage.data.coffee()[:101, :333],
    skimage.data.astronaut()[:20, :33],  # smaller than a crop
]


@pytest.fixture(scope="module")
def built():
    return build_pyramids(PHOTOS, [photo.shape[:2] for photo in PHOTOS], SIDE)


def level_of(built, index: int, level: int) -> np.ndarray:
    first, height, width = built.place_NxLx3[index, level]
    return built.pixels_Px3[first : first + height * width].reshape(height, width, 3)


def pillow_crop(image: np.ndarray, side: float, corner) -> np.ndarray:
    """Pillow's resize of a square without its rounding to 8 bits between the two passes."""
    top, left = map(float, corner)
    box = (left, top, min(left + side, image.shape[1]), min(top + side, image.shape[0]))
    channels = [
        Image.fromarray(image[..., channel].astype(np.float32)).resize(
            (SIDE, SIDE), Image.Resampling.BICUBIC, box=box
        )
        for channel in range(3)
    ]
    return np.stack([np.asarray(channel) for channel in channels], -1).clip(0, 255)


def test_every_level_is_the_mean_of_four_pixels_of_the_one_before(built):
    assert len(built.pixels_Px3) == sum(count_pixels(*p.shape[:2], SIDE) for p in PHOTOS)
    for index, photo in enumerate(PHOTOS):
        np.testing.assert_array_equal(level_of(built, index, 0), photo)
    for index in range(3):
        above, level = (level_of(built, index, n).astype(float) for n in (0, 1))
        rows, columns = (2 * side for side in level.shape[:2])
        mean = sum(above[y:rows:2, x:columns:2] for y in (0, 1) for x in (0, 1)) / 4
        assert np.abs(level - mean).max() <= 0.5
    assert [level_of(built, 0, n).shape[0] for n in range(5)] == [512, 256, 128, 64, 32]


def test_crops_are_pillows(built):
    """At every scale, at the borders and in a photograph smaller than a crop."""
    cut = jax.jit(cut_crops, static_argnums=(3, 4))
    keys = jax.random.split(jax.random.key(0), 64)
    index = jnp.arange(64) % len(PHOTOS)
    crops = np.asarray(cut(keys, built, index, SIDE, SCALES))
    levels = set()
    for key, one, crop in zip(keys, index, crops, strict=True):
        level, side, corner = pyramids._draw(key, jnp.asarray(built.place_NxLx3)[one], SIDE, SCALES)
        image = level_of(built, int(one), int(level))
        assert min(image.shape[:2]) < 2 * SIDE or side < 2 * SIDE + 0.01
        expected = pillow_crop(image, float(side), corner)
        assert np.abs(crop - expected).max() <= 0.51
        levels.add(int(level))
    assert len(levels) >= 4


def test_a_crop_at_the_photographs_own_size_is_a_copy(built):
    keys = jax.random.split(jax.random.key(1), 8)
    crops = np.asarray(cut_crops(keys, built, jnp.zeros(8, int), SIDE, (500.0, 1000.0)))
    for key, crop in zip(keys, crops, strict=True):
        level, side, corner = pyramids._draw(
            key, jnp.asarray(built.place_NxLx3[0]), SIDE, (500.0, 1000.0)
        )
        assert (int(level), float(side)) == (0, SIDE)
        top, left = map(int, corner)
        np.testing.assert_array_equal(crop, PHOTOS[0][top : top + SIDE, left : left + SIDE])


def test_scales_are_even_over_octaves_and_places_over_the_photograph(built):
    place = jnp.asarray(built.place_NxLx3)[0]
    draw = jax.jit(jax.vmap(lambda key: pyramids._draw(key, place, SIDE, (1.0, 16.0))))
    level, side, corner = map(np.asarray, draw(jax.random.split(jax.random.key(2), 4000)))
    scale = 512 / (side * 2.0**level * 16)  # 1/16 .. 1: the whole photograph .. its own size
    octave = np.floor(np.log2(1 / scale) * (1 - 1e-6)).astype(int)
    shares = np.bincount(octave, minlength=4)[:4] / len(octave)
    assert np.abs(shares - 0.25).max() < 0.03
    room = np.floor(512 / 2.0**level - side)
    centred = corner[room > 8] / room[room > 8, None]
    assert np.abs(centred.mean(0) - 0.5).max() < 0.03
    assert (centred.min(), centred.max()) == (0, 1)


def test_a_crop_depends_on_its_own_key_alone(built):
    keys = jax.random.split(jax.random.key(3), 6)
    index = jnp.arange(6) % 3
    together = cut_crops(keys, built, index, SIDE, SCALES)
    for place in (0, 5):
        one = slice(place, place + 1)
        alone = cut_crops(keys[one], built, index[one], SIDE, SCALES)
        np.testing.assert_array_equal(together[one], alone)


def test_flat_photographs_give_flat_crops():
    flat = np.full((70, 90, 3), (255, 3, 128), np.uint8)
    built = build_pyramids([flat], [(70, 90)], SIDE)
    keys = jax.random.split(jax.random.key(4), 16)
    crops = cut_crops(keys, built, jnp.zeros(16, int), SIDE, SCALES)
    assert (np.asarray(crops) == flat[0, 0]).all()
