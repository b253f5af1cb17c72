"""The bundled photographs."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import skimage.data
from PIL import Image

from glcic_jax.data import photos
from glcic_jax.data.crops import CropSettings, draw_crop, random_edge, square_box
from glcic_jax.data.photos import Photos

SETTINGS = CropSettings(image_size=32, min_scale=1.5, max_scale=6.0)
LARGE = 10**9


def test_splits_share_no_photograph():
    names = [set(files) for files in photos.SHARES.values()]
    assert sum(map(len, names)) == len(set.union(*names)) == 9


@pytest.mark.parametrize(
    ("split", "count"), [("train", 16384), ("validation", 500), ("test", 1000)]
)
def test_crop_depends_on_split_and_index_alone(split, count):
    one, other = (Photos(split, SETTINGS, fixed_bytes=LARGE) for _ in range(2))
    assert len(one) == count
    last = one[count - 1]
    assert last.shape == (32, 32, 3)
    assert last.dtype == np.uint8
    np.testing.assert_array_equal(other[count - 1], last)
    assert len({one[i].tobytes() for i in range(50)}) == 50
    with pytest.raises(IndexError):
        one[count]


def test_splits_differ_at_the_same_index():
    crops = [Photos(split, SETTINGS, fixed_bytes=LARGE)[3] for split in photos.SHARES]
    assert not np.array_equal(crops[1], crops[2])


def test_a_crop_is_found_in_its_photograph():
    """At native scale a crop is bit for bit a part of the rocket's photograph."""
    rocket = skimage.data.rocket()
    side = min(rocket.shape[:2])
    native = CropSettings(image_size=side, min_scale=1.0, max_scale=1.0)
    crop = Photos("validation", native, fixed_bytes=LARGE)[0].astype(int)
    errors = [
        np.abs(rocket[:, left : left + side].astype(int) - crop).mean()
        for left in range(rocket.shape[1] - side + 1)
    ]
    # Not a whole number of pixels to the left, so the resize filter blurs a little.
    assert min(errors) < 3 < np.median(errors)


def test_a_reduced_copy_shows_the_same_part(monkeypatch):
    reduced = Photos("train", SETTINGS, fixed_bytes=LARGE)
    quick = [reduced[i].astype(int) for i in range(40)]
    full = photos._levels
    monkeypatch.setattr(photos, "_levels", lambda file: full(file)[:1])
    exact = [reduced[i].astype(int) for i in range(40)]
    differences = [np.abs(a - b).mean() for a, b in zip(quick, exact, strict=True)]
    assert 0 < max(differences) < 6, "a shift of one pixel of the crop is 10 and more"


def test_large_training_crops_are_drawn_anew_at_every_visit():
    fixed = Photos("train", SETTINGS, fixed_bytes=16384 * 32 * 32 * 3)
    fresh = Photos("train", SETTINGS, fixed_bytes=16384 * 32 * 32 * 3 - 1)
    assert fixed.fixed
    assert not fresh.fixed
    first, second = np.random.default_rng(1), np.random.default_rng(2)
    np.testing.assert_array_equal(fixed.sample(7, first), fixed[7])
    drawn = fresh.sample(7, first)
    assert not np.array_equal(drawn, fresh.sample(7, second))
    again = np.random.default_rng(1)
    fixed.sample(7, again)
    np.testing.assert_array_equal(fresh.sample(7, again), drawn)
    assert Photos("test", SETTINGS, fixed_bytes=0).fixed, "evaluation never changes"


def test_pickles_small():
    opened = Photos("train", SETTINGS, fixed_bytes=LARGE)
    opened[0]
    assert len(pickle.dumps(opened)) < 2000


def test_edges_keep_to_the_scales_and_never_enlarge():
    rng = np.random.default_rng(0)
    edges = np.array([random_edge(500, SETTINGS, draw_crop(rng)) for _ in range(2000)])
    assert edges.min() >= 48
    assert edges.max() <= 192
    assert abs(edges.mean() - 120) < 3
    assert random_edge(100, SETTINGS, draw_crop(rng)) <= 100
    assert random_edge(20, SETTINGS, draw_crop(rng)) == 32, "a photograph smaller than the crop"


@pytest.mark.parametrize("size", [(301, 451), (451, 301), (7, 7)])
def test_boxes_lie_inside(size):
    image = Image.new("RGB", size)
    for left, top in [(0, 0), (0.3, 0.9999999), (1, 1), (0.5, 0.5)]:
        for part in (0.1, 1 / 3, 1.0):
            box = square_box(size, min(size) * part, left, top)
            image.resize((4, 4), box=box)
            assert box[2] - box[0] == pytest.approx(min(size) * part)
            assert box[3] - box[1] == pytest.approx(min(size) * part)
