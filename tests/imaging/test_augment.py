"""Augmentation against SciPy and scikit-image."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import skimage.transform

from glcic_jax.config.settings import AugmentConfig
from glcic_jax.imaging.augment import augment as augment_eagerly
from glcic_jax.imaging.augment import warp

augment = jax.jit(augment_eagerly, static_argnums=2)
NOTHING = AugmentConfig(flip=0, rotate=0, zoom=0, blur=0)
ALL = AugmentConfig(flip=0.5, rotate=0.5, zoom=0.5, blur=0.5)


@pytest.fixture(scope="module")
def images(photo) -> np.ndarray:
    """64 different crops of a photograph: float32 (64, 24, 24, 3)."""
    rng = np.random.default_rng(0)
    corners = rng.integers(0, (66, 96), (64, 2))
    return np.stack([photo[y : y + 24, x : x + 24] for y, x in corners]).astype(np.float32) / 255


def keys(count=64, seed=0):
    return jax.random.split(jax.random.key(seed), count)


def changed(before, after):
    return np.any(np.asarray(after) != before, axis=(1, 2, 3))


def test_probability_zero_is_no_computation(images):
    jaxpr = jax.make_jaxpr(lambda k, x: augment_eagerly(k, x, NOTHING))(keys(), images)
    names = {equation.primitive.name for equation in jaxpr.eqns}
    assert not names & {"gather", "select_n", "mul", "rev", "dot_general"}
    np.testing.assert_array_equal(augment(keys(), images, NOTHING), images)


def test_flip(images):
    half = np.asarray(augment(keys(), images, AugmentConfig(flip=0.5)))
    mirrored = images[:, :, ::-1]
    is_flipped = changed(images, half)
    np.testing.assert_array_equal(half[is_flipped], mirrored[is_flipped])
    assert 16 < is_flipped.sum() < 48
    np.testing.assert_array_equal(augment(keys(), images, AugmentConfig(flip=1)), mirrored)


@pytest.mark.parametrize("name", ["rotate", "zoom", "blur"])
def test_coin_decides_and_what_drew_nothing_is_bit_for_bit(name, images):
    some = augment(keys(), images, AugmentConfig(flip=0, **{name: 0.25}))
    assert 5 < changed(images, some).sum() < 30
    assert some.dtype == jnp.float32


def test_the_result_depends_on_the_own_key_alone(images):
    whole = np.asarray(augment(keys(), images, ALL))
    order = np.random.default_rng(1).permutation(64)
    shuffled = np.asarray(augment(keys()[order], images[order], ALL))
    np.testing.assert_allclose(shuffled, whole[order], atol=1e-6)
    same = augment(keys(), np.repeat(images[:1], 64, axis=0), ALL)
    assert len({image.tobytes() for image in np.asarray(same)}) > 40


def test_range_and_mean_are_kept(images):
    extreme = (images > images.mean()).astype(np.float32)
    result = np.asarray(augment(keys(), extreme, ALL))
    assert result.min() >= 0
    assert result.max() <= 1
    assert abs(result.mean() - extreme.mean()) < 0.02


@pytest.mark.parametrize(("degrees", "zoom"), [(0, 1.0), (90, 1.0), (7.5, 1.0), (-30, 1.3)])
def test_warp_agrees_with_scikit_image(degrees, zoom, images):
    image = images[3]
    middle = (np.array(image.shape[1::-1]) - 1) / 2
    to_middle = skimage.transform.SimilarityTransform(translation=-middle)
    # scikit-image turns clockwise in pixel coordinates for a positive angle.
    turn = skimage.transform.SimilarityTransform(scale=zoom, rotation=-np.deg2rad(degrees))
    forward = to_middle + turn + to_middle.inverse
    expected = skimage.transform.warp(image, forward.inverse, order=1, mode="symmetric")
    np.testing.assert_allclose(warp(jnp.asarray(image), degrees, zoom), expected, atol=2e-4)


def test_quarter_turn_is_counter_clockwise(images):
    np.testing.assert_allclose(warp(images[0], 90, 1), np.rot90(images[0]), atol=1e-4)


def test_random_angles_and_zooms_keep_to_their_limits():
    """What becomes of an even ramp: its direction tells the angle, its slope the zoom."""
    slope = 0.02
    ramp = np.broadcast_to(0.2 + slope * np.arange(25, dtype=np.float32)[:, None], (256, 25, 25, 3))
    config = AugmentConfig(flip=0, rotate=1, max_degrees=20, zoom=1, max_zoom=1.5)
    result = np.asarray(augment(keys(256), ramp, config))[..., 0]
    along_x = (result[:, 12, 13] - result[:, 12, 11]) / 2
    along_y = (result[:, 13, 12] - result[:, 11, 12]) / 2
    angles = np.rad2deg(np.arctan2(along_y, along_x))
    assert 17 < angles.max() <= 20.01
    assert -20.01 <= angles.min() < -17
    zooms = slope / np.hypot(along_x, along_y)
    assert 0.999 < zooms.min() < 1.05
    assert 1.45 < zooms.max() <= 1.501
    assert abs(np.corrcoef(angles, zooms)[0, 1]) < 0.2, "drawn from different keys"


def test_random_blur_keeps_to_its_limit():
    """A single bright pixel spreads to the kernel, whose peak tells sigma."""
    dot = np.zeros((256, 25, 25, 3), np.float32)
    dot[:, 12, 12] = 1
    config = AugmentConfig(flip=0, blur=1, max_sigma=2)
    result = np.asarray(augment(keys(256), dot, config))
    peaks = result[:, 12, 12, 0]
    # Peak of a two-dimensional Gaussian, for sigmas at which the pixel grid hardly matters.
    assert peaks.min() == pytest.approx(1 / (2 * np.pi * 2**2), rel=0.05)
    assert peaks.max() > 0.99
    np.testing.assert_allclose(result.sum(axis=(1, 2)), 1, atol=1e-4)
