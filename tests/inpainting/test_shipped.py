"""What must hold of the generator for photographs that comes with the package, on any input."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import skimage.data

from glcic_jax import inpaint_fn, load_generator
from glcic_jax.evaluation.photographs import fill_harmonic, score

PHOTOS = [skimage.data.astronaut(), skimage.data.coffee(), skimage.data.chelsea()]


@functools.cache
def photographs():
    return functools.partial(inpaint_fn, *load_generator("photographs"))


def hole(shape, top: int, left: int, height: int, width: int) -> np.ndarray:
    mask = np.zeros(shape[:2], bool)
    mask[top : top + height, left : left + width] = True
    return mask


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (128, 128, 128), (200, 30, 90)])
def test_flat_walls_stay_flat_however_wide_the_hole(colour):
    wall = np.broadcast_to(np.uint8(colour), (180, 200, 3))
    for mask in (hole(wall.shape, 50, 60, 64, 64), hole(wall.shape, 0, 0, 1, 1)):
        np.testing.assert_array_equal(photographs()(wall, mask), wall)


def test_gray_photographs_stay_gray():
    gray = np.repeat(PHOTOS[0][:200, 100:300, 1:2], 3, -1)
    completed = photographs()(gray, hole(gray.shape, 80, 90, 24, 16))
    assert np.ptp(completed.astype(int), axis=-1).max() == 0
    assert (completed != gray).any()


@pytest.mark.parametrize(("a", "b"), [(0.5, 0.2), (0.8, 0.0)])
def test_brightness_and_contrast_pass_through(a, b):
    photo = PHOTOS[0][:200, 100:300].astype(np.float32) / 255
    mask = hole(photo.shape, 80, 90, 16, 16)
    one, other = photographs()(photo, mask), photographs()(a * photo + b, mask)
    np.testing.assert_allclose(other[mask], a * one[mask] + b, atol=1.5 / 255)


@pytest.mark.parametrize("place", [(0, 100), (199, 199), (90, 0), (77, 123)])
def test_the_smallest_holes_are_no_worse_than_the_mean_of_their_neighbours(place):
    photos = [photo[:200, 100:300] for photo in PHOTOS]
    errors = {"network": 0.0, "harmonic": 0.0}
    for photo in photos:
        for size in (1, 2, 4):
            top, left = (min(start, 200 - size) for start in place)
            mask = hole(photo.shape, top, left, size, size)
            for name, fill in (("network", photographs()), ("harmonic", fill_harmonic)):
                difference = fill(photo, mask)[mask].astype(float) - photo[mask]
                errors[name] += np.mean(difference**2)
    assert errors["network"] <= errors["harmonic"] * 1.1 + 9


@pytest.mark.parametrize("kind", ["16", "strokes", "specks", "text", "pixels"])
def test_it_is_ahead_of_where_it_starts_on_photographs_it_has_not_seen(kind):
    photos = [photo[y : y + 200, x : x + 200] for photo in PHOTOS for y, x in ((0, 0), (90, 180))]
    methods = {"harmonic": fill_harmonic, "network": photographs()}
    rows = {row.method: row for row in score(photos, methods, kind, 0)}
    assert rows["network"].over_baseline.difference.mean > 0.3
