"""The Gaussian blur against SciPy, for a sigma that is a number and one that is traced."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage

from glcic_jax.imaging.blur import gaussian_blur


@pytest.mark.parametrize("sigma", [0.1, 0.7, 2.0])
@pytest.mark.parametrize("is_traced", [False, True])
def test_blur_agrees_with_scipy(sigma, is_traced, photo_crops):
    images = photo_crops[:3, :, :24].astype(np.float32) / 255
    expected = scipy.ndimage.gaussian_filter(
        images.astype(np.float64), sigma, mode="reflect", radius=6, axes=(1, 2)
    )
    got = gaussian_blur(jnp.asarray(images), jnp.float32(sigma) if is_traced else sigma, 6)
    assert got.dtype == jnp.float32
    np.testing.assert_allclose(got, expected, atol=1e-5)


def test_each_image_may_have_a_sigma_of_its_own(photo_crops):
    images = jnp.asarray(photo_crops[:2] / 255, jnp.float32)
    sigmas = jnp.array([0.5, 3.0])
    together = jax.vmap(lambda image, sigma: gaussian_blur(image, sigma, 9))(images, sigmas)
    for image, sigma, got in zip(images, (0.5, 3.0), together, strict=True):
        np.testing.assert_allclose(got, gaussian_blur(image, sigma, 9), atol=1e-6)
