"""Blobs, specks and lettering: what every drawn hole must be."""

from __future__ import annotations

import functools

import jax
import numpy as np
import pytest
from skimage.measure import label, regionprops

from glcic_jax.imaging.photograph_masks import blob_masks, lettering_masks, speck_masks

SIZE = 48
KINDS = {
    "blobs": functools.partial(blob_masks, image_size=SIZE, diameters=(1.0, 30.0)),
    "specks": functools.partial(speck_masks, image_size=SIZE, sides=(1, 6), counts=(2, 9)),
    "lettering": functools.partial(lettering_masks, image_size=SIZE, heights=(6.0, 20.0)),
}


@functools.cache
def drawn(kind: str, count: int = 400) -> np.ndarray:
    keys = jax.random.split(jax.random.key(0), count)
    return np.asarray(jax.jit(KINDS[kind])(keys))


@pytest.mark.parametrize("kind", KINDS)
def test_every_image_has_a_hole_of_its_own_key(kind):
    masks = drawn(kind)
    assert masks.shape == (400, SIZE, SIZE, 1)
    assert masks.dtype == np.float32
    assert set(np.unique(masks)) == {0, 1}
    assert masks.any((1, 2, 3)).all()
    assert not masks.all((1, 2, 3)).any()
    assert len(np.unique(masks.reshape(400, -1), axis=0)) > 350
    keys = jax.random.split(jax.random.key(0), 400)
    np.testing.assert_array_equal(jax.jit(KINDS[kind])(keys[7:9]), masks[7:9])


@pytest.mark.parametrize("kind", KINDS)
def test_every_part_of_the_image_is_missing_now_and_then(kind):
    share = drawn(kind).mean(0)[..., 0]
    thirds = share.reshape(3, SIZE // 3, 3, SIZE // 3).mean((1, 3))
    assert thirds.min() > 0.2 * thirds.max()


def test_blobs_are_whole_and_of_all_sizes():
    masks = drawn("blobs")[..., 0].astype(int)
    assert all(label(mask, connectivity=1, return_num=True)[1] == 1 for mask in masks)
    diameters = np.sqrt(masks.sum((1, 2)) * 4 / np.pi)
    assert diameters.min() < 2
    assert 25 < diameters.max() < 45
    assert 0.2 < np.mean(diameters < 4) < 0.6, "small ones are not rare"


def test_specks_have_the_asked_sides_and_number():
    numbers = []
    for mask in drawn("specks")[..., 0]:
        parts = regionprops(label(mask, connectivity=1))
        numbers.append(len(parts))
        for part in parts:
            top, left, bottom, right = part.bbox
            if part.extent == 1:  # a single box, not two that touch
                assert max(bottom - top, right - left) <= 12
    assert min(numbers) >= 1
    assert 7 <= max(numbers) <= 10
    areas = drawn("specks").sum((1, 2, 3))
    assert areas.max() <= 9 * 36
    single = jax.jit(functools.partial(KINDS["specks"], counts=(1, 1)))
    for mask in np.asarray(single(jax.random.split(jax.random.key(1), 200)))[..., 0]:
        rows, columns = (np.ptp(places) + 1 for places in np.nonzero(mask))
        assert 1 <= rows <= 6
        assert 1 <= columns <= 6


def test_lettering_is_thin_and_runs_along_a_line():
    wide = []
    for mask in drawn("lettering")[..., 0] > 0:
        rows, columns = np.nonzero(mask)
        wide.append(np.ptp(columns) >= np.ptp(rows))
        # Strokes are at most a sixth of 20 pixels thick: hardly any square of 7 is all missing.
        windows = np.lib.stride_tricks.sliding_window_view(mask, (7, 7))
        assert windows.all((2, 3)).mean() < 0.005
    assert np.mean(wide) > 0.85
