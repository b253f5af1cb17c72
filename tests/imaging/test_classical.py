"""Classical fills: what they may change, rounding, and independence of the batch."""

import numpy as np
import pytest

from glcic_jax.evaluation import metrics
from glcic_jax.imaging import classical

NAMES = ("mean_pixel", "telea", "navier_stokes", "biharmonic", "harmonic")
MEAN = np.array([0.2, 0.5, 0.9], np.float32)


def _example(count=5, side=20):
    """A smooth ramp in each channel, and a rectangle missing at another place of each image."""
    y, x = np.mgrid[:side, :side]
    image = np.stack([5 * x + 3 * y, 7 * x + 20, 200 - 6 * y], -1).astype(np.uint8)
    images_u8 = np.stack([image + 3 * index for index in range(count)]).astype(np.uint8)
    masks = np.zeros((count, side, side, 1), np.float32)
    for index in range(count):
        masks[index, 3 + index : 9 + index, 2 * index : 2 * index + 7] = 1
    return images_u8, masks


def test_names_and_order():
    assert tuple(classical.classical_fills(MEAN)) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_keeps_known_pixels_and_does_not_read_the_hole(name):
    rng = np.random.default_rng(0)
    images_u8 = rng.integers(0, 256, (5, 20, 20, 3), dtype=np.uint8)
    _, masks = _example()
    method = classical.classical_fills(MEAN)[name]
    before = images_u8.copy()
    completed = method(images_u8, masks)
    np.testing.assert_array_equal(images_u8, before)
    assert completed.dtype == np.uint8
    known = np.broadcast_to(masks == 0, images_u8.shape)
    np.testing.assert_array_equal(completed[known], images_u8[known])
    assert (completed != images_u8).any()
    other = np.where(masks > 0, rng.integers(0, 256, images_u8.shape, dtype=np.uint8), images_u8)
    np.testing.assert_array_equal(method(other, masks), completed)


@pytest.mark.parametrize("name", NAMES)
def test_does_not_depend_on_the_batch(name):
    images_u8, masks = _example()
    method = classical.classical_fills(MEAN)[name]
    one_by_one = np.concatenate([method(images_u8[i : i + 1], masks[i : i + 1]) for i in range(5)])
    np.testing.assert_array_equal(method(images_u8, masks), one_by_one)


@pytest.mark.parametrize("name", NAMES)
def test_no_hole_and_no_known_pixel(name):
    images_u8, masks = _example(count=2)
    masks[0], masks[1] = 0, 1
    completed = classical.classical_fills(MEAN)[name](images_u8, masks)
    np.testing.assert_array_equal(completed[0], images_u8[0])
    expected = np.broadcast_to(np.array([51, 128, 230]), (20, 20, 3))
    assert np.abs(completed[1].astype(int) - expected).max() <= 1


def test_surfaces_continue_a_ramp():
    """A plane solves both equations: inside the image the fills restore it to rounding."""
    images_u8, masks = _example(count=1)
    masks[:] = 0
    masks[:, 6:12, 5:13] = 1
    fills = classical.classical_fills(MEAN)
    restored = fills["biharmonic"](images_u8, masks)
    np.testing.assert_array_equal(restored, images_u8)
    psnr = {
        name: float(
            metrics.psnr(images_u8 / 255.0, method(images_u8, masks) / 255.0, masks, "hole")[0]
        )
        for name, method in fills.items()
    }
    assert psnr["mean_pixel"] < 15
    assert psnr["telea"] > 25
    assert psnr["navier_stokes"] > 25
    assert psnr["harmonic"] > 35
