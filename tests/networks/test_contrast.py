"""What must hold of any network between `normalised` and `restored`."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import skimage.data
from scipy.ndimage import gaussian_filter

from glcic_jax.imaging.fills import harmonic_fill
from glcic_jax.networks import contrast
from glcic_jax.networks.contrast import REACH, local_contrast, normalised, restored

GRAY = jnp.full(3, 0.5)


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    """float32 image_1x160x200x3, a real photograph."""
    return skimage.data.chelsea()[None, 40:200, 80:280].astype(np.float32) / 255


def hole(shape, top=60, left=90, side=16) -> np.ndarray:
    mask = np.zeros((*shape[:3], 1), np.float32)
    mask[:, top : top + side, left : left + side] = 1
    return mask


def any_network(image: jax.Array) -> jax.Array:
    """A residual that is far from zero everywhere and sees its surroundings."""
    return 0.3 * jnp.sin(9 * jnp.roll(image, (1, 2, 1), (1, 2, 3))) + 0.2


@jax.jit
def complete(image, mask):
    filled = harmonic_fill(image, mask, GRAY)
    found = local_contrast(filled, mask)
    return filled + restored(any_network(normalised(filled, found)), found.scale)


@pytest.mark.parametrize("colour", [(0, 0, 0), (1, 1, 1), (0.3, 0.6, 0.2), (0.5, 0.5, 0.5)])
def test_a_flat_picture_stays_flat(colour):
    image = np.broadcast_to(np.float32(colour), (1, 64, 80, 3))
    completed = complete(image, hole(image.shape, 10, 20))
    np.testing.assert_allclose(completed, image, atol=1e-6)  # the fill's own rounding


def test_a_gray_picture_stays_gray(photo):
    gray = np.repeat(photo[..., 1:2], 3, -1)
    completed = np.asarray(complete(gray, hole(photo.shape)))
    assert np.ptp(completed, axis=-1).max() == 0
    assert np.abs(completed - gray).max() > 0.1, "the network does add something"


@pytest.mark.parametrize(("a", "b"), [(0.5, 0.2), (0.9, 0.0), (-0.7, 0.9)])
def test_brightness_and_contrast_pass_through(photo, a, b):
    """Up to the noise that is taken off; a negative picture is another picture to a network."""
    mask = hole(photo.shape)
    filled = harmonic_fill(photo, mask, GRAY)
    found, changed = (local_contrast(x, mask) for x in (filled, a * filled + b))
    np.testing.assert_allclose(changed.mean, a * found.mean + b, atol=1e-5)
    np.testing.assert_allclose(changed.scale, abs(a) * found.scale, rtol=0.03, atol=2e-3)
    if a > 0:
        one = complete(photo, mask)
        np.testing.assert_allclose(complete(a * photo + b, mask), a * one + b, atol=1 / 255)


def test_statistics_are_those_of_a_gaussian_window(photo):
    """Against SciPy's filter, which works on pixels and reflects the border: in the middle."""
    found = local_contrast(jnp.asarray(photo), jnp.zeros((*photo.shape[:3], 1)))
    middle = (0, slice(64, -64), slice(64, -64))
    mean = gaussian_filter(photo[0], (16, 16, 0), truncate=2)
    np.testing.assert_allclose(found.mean[middle], mean[middle[1:]], atol=0.01)
    variance = gaussian_filter(photo[0] ** 2, (16, 16, 0), truncate=2) - mean**2
    np.testing.assert_allclose(
        found.total[middle][..., 0], np.sqrt(variance.mean(-1))[middle[1:]], rtol=0.1
    )


def test_what_the_hole_holds_hardly_matters(photo):
    mask = hole(photo.shape)
    filled = harmonic_fill(photo, mask, GRAY)
    wrong = jnp.where(mask > 0, 1 - filled, filled)
    one, other = (local_contrast(x, mask) for x in (filled, wrong))
    np.testing.assert_allclose(one.mean, other.mean, atol=1e-3)
    np.testing.assert_allclose(one.total, other.total, atol=2e-3)


def test_a_window_gives_what_the_whole_gives(photo):
    """The window sticks out of the picture at the top, over pixels that must not be read."""
    mask = hole(photo.shape, top=4)
    whole = local_contrast(jnp.asarray(photo), jnp.asarray(mask))
    top, left, high, wide = 8, 40, 96, 128
    window, window_mask = (
        np.pad(x, ((0, 0), (top, 0), (0, 0), (0, 0)), constant_values=9)[:, :high, left:][
            :, :, :wide
        ]
        for x in (photo, mask)
    )
    inside = np.ones_like(window_mask)
    inside[:, :top] = 0
    found = local_contrast(window, window_mask, inside)
    kept = (slice(None), slice(top, high - REACH), slice(REACH, wide - REACH))
    rows, columns = slice(0, high - REACH - top), slice(left + REACH, left + wide - REACH)
    for part, expected in zip(found, whole, strict=True):
        np.testing.assert_allclose(part[kept], expected[:, rows, columns], atol=1e-5)


def test_where_hardly_anything_is_known_nothing_is_added(photo):
    """In the middle of a hole of 112 pixels; in one of 24 the scale is that of no hole at all."""
    found = {}
    for side in (0, 24, 112):
        mask = hole(photo.shape, 80 - side // 2, 100 - side // 2, side)
        filled = harmonic_fill(photo, mask, GRAY)
        found[side] = np.asarray(local_contrast(filled, mask).scale)[0, 80, 100, 0]
    assert found[112] < 0.02 * found[0]
    assert found[24] == pytest.approx(found[0], rel=0.5)
    wide = hole(photo.shape, 24, 44, 112)
    scale = local_contrast(harmonic_fill(photo, wide, GRAY), wide).scale
    assert np.asarray(scale)[0, 26, 100, 0] > 0.3 * found[0], "near the rim it still is"


def test_luma_and_chroma_turn_back(photo):
    there = contrast.to_luma_chroma(jnp.asarray(photo))
    np.testing.assert_allclose(contrast.from_luma_chroma(there), photo, atol=1e-6)
    assert not np.asarray(contrast.to_luma_chroma(jnp.full((2, 3), 0.3)))[:, 1:].any()
