"""The initial fill: against the exact solution of the linear system, and its contracts."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import sparse
from scipy.sparse.linalg import spsolve

from glcic_jax.config.rules import PROTOCOLS
from glcic_jax.evaluation.protocols import protocol_masks
from glcic_jax.imaging import fills

GREY = jnp.full(3, 0.5)

# As one program: eagerly, each of its many operations is compiled for itself.
harmonic_fill = jax.jit(fills.harmonic_fill)


def exact_harmonic(image: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """Solve 'each missing pixel is the mean of its neighbours inside the image' directly."""
    height, width = hole.shape
    number = np.full(hole.shape, -1)
    number[hole] = np.arange(hole.sum())
    matrix = sparse.lil_matrix((hole.sum(), hole.sum()))
    right = np.zeros((hole.sum(), 3))
    for y, x in np.argwhere(hole):
        row = number[y, x]
        for dy, dx in ((0, 1), (1, 0), (0, -1), (-1, 0)):
            # A neighbour outside the image is the pixel itself.
            ny, nx = min(max(y + dy, 0), height - 1), min(max(x + dx, 0), width - 1)
            matrix[row, row] += 1
            if hole[ny, nx]:
                matrix[row, number[ny, nx]] -= 1
            else:
                right[row] += image[ny, nx]
    solved = image.copy()
    solved[hole] = spsolve(matrix.tocsr(), right)
    return solved


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_harmonic_fill_is_near_the_exact_solution(photo_crops, protocol):
    image = photo_crops[:4].astype(np.float32) / 255
    mask = np.asarray(protocol_masks(protocol, 0, jnp.arange(4), 32))
    filled = np.asarray(harmonic_fill(jnp.asarray(image), jnp.asarray(mask), GREY))
    for number in range(4):
        hole = mask[number, ..., 0] > 0.5
        exact = exact_harmonic(image[number], hole)
        assert np.abs(filled[number] - exact)[hole].mean() < 1 / 255


@pytest.mark.parametrize("shape", [(32, 32), (31, 17), (5, 64), (1, 9)])
def test_harmonic_fill_keeps_known_pixels_and_ignores_the_hole(photo_crops, shape):
    image = jnp.asarray(np.resize(photo_crops, (2, *shape, 3)).astype(np.float32) / 255)
    mask = jnp.zeros((2, *shape, 1)).at[:, :, 3:5].set(1.0)
    filled = np.asarray(harmonic_fill(image, mask, GREY))
    outside = np.broadcast_to(np.asarray(mask) == 0, filled.shape)
    np.testing.assert_array_equal(filled[outside], np.asarray(image)[outside])
    other = np.asarray(harmonic_fill(jnp.where(mask > 0, 0.9, image), mask, GREY))
    np.testing.assert_array_equal(filled, other)
    assert filled.min() >= 0
    assert filled.max() <= 1


def test_harmonic_fill_continues_a_ramp():
    ramp = jnp.broadcast_to(jnp.linspace(0, 1, 32)[:, None, None], (1, 32, 32, 3))
    mask = jnp.zeros((1, 32, 32, 1)).at[:, 8:20, 10:24].set(1.0)
    filled = harmonic_fill(ramp, mask, GREY)
    np.testing.assert_allclose(np.asarray(filled), np.asarray(ramp), atol=0.01)


def test_no_known_pixel_gives_the_mean_pixel():
    mean_pixel = jnp.array([0.2, 0.4, 0.6])
    mask = jnp.ones((1, 16, 16, 1))
    filled = np.asarray(harmonic_fill(jnp.zeros((1, 16, 16, 3)), mask, mean_pixel))
    np.testing.assert_allclose(filled, np.broadcast_to(mean_pixel, filled.shape), atol=1e-6)


def test_mean_fill(photo_crops):
    image = jnp.asarray(photo_crops[:2] / 255.0, jnp.float32)
    mask = protocol_masks("center", 0, jnp.arange(2), 32)
    filled = np.asarray(fills.mean_fill(image, mask, jnp.array([0.1, 0.2, 0.3])))
    np.testing.assert_allclose(
        filled[:, 8:24, 8:24], np.broadcast_to([0.1, 0.2, 0.3], (2, 16, 16, 3))
    )
    np.testing.assert_array_equal(filled[:, :8], np.asarray(image)[:, :8])
