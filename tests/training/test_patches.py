"""What discriminators see of deep holes where `losses.patches` is set."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import skimage.data
from support import replace

from glcic_jax.evaluation.photographs import fill_harmonic
from glcic_jax.training import steps
from glcic_jax.training.patches import with_patches
from glcic_jax.training.recipe import build_recipe
from glcic_jax.training.state import create_train_state

SHALLOW, DEEP, WIDE = 0, 1, 2
GRAVEL = skimage.data.gravel()


@pytest.fixture(scope="module")
def batch() -> tuple[np.ndarray, np.ndarray]:
    """float32 image_3x64x64x3 with smooth fills, mask_3x64x64x1: 10 pixels wide, 30, and so wide
    that no whole block is left around it."""
    mask = np.zeros((3, 64, 64), bool)
    mask[SHALLOW, 20:30, 20:30] = True
    mask[DEEP, 20:50, 24:54] = True
    mask[WIDE, 10:54, 10:54] = True
    gray = GRAVEL[100:164, 100:164]
    crop = np.repeat(gray[..., None], 3, -1)
    filled = np.stack([fill_harmonic(crop, hole) for hole in mask])
    return np.float32(filled) / 255, np.float32(mask[..., None])


@pytest.fixture(scope="module")
def patched(batch) -> np.ndarray:
    return np.asarray(jax.jit(with_patches)(*batch))


def test_only_deep_holes_with_something_around_get_patches(batch, patched):
    images, mask = batch
    for number in (SHALLOW, WIDE):
        np.testing.assert_array_equal(patched[number], images[number])
    changed = (patched[DEEP] != images[DEEP]).any(-1)
    assert not changed[mask[DEEP, ..., 0] == 0].any()
    assert changed[mask[DEEP, ..., 0] == 1].mean() > 0.9


def test_patches_are_as_rough_as_what_lies_around(batch, patched):
    images, _ = batch

    def roughness(image):
        return np.abs(np.diff(image[26:44, 30:48, 0], axis=0)).mean()

    around = np.abs(np.diff(images[DEEP, :18, :, 0], axis=0)).mean()
    assert roughness(images[DEEP]) < 0.3 * around
    assert 0.6 * around < roughness(patched[DEEP]) < 1.4 * around


def test_the_gradient_is_that_of_the_low_frequencies(batch):
    """A fill that is brighter all over is brighter with patches too; a checkerboard on it is gone,
    for where it was the patches are."""
    images, mask = batch
    rows, columns = np.mgrid[:64, :64]
    middle = np.zeros((64, 64, 1), np.float32)
    middle[34:37, 38:41] = 1

    @jax.jit
    def gradient(completed):
        return jax.grad(lambda x: jnp.sum(with_patches(x, mask)[DEEP] * middle))(completed)[DEEP]

    found = np.asarray(gradient(images))[..., 0]
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found.sum(), 9, rtol=1e-4)
    checkerboard = (-1.0) ** (rows + columns)
    assert abs((found * checkerboard).sum()) < 1e-3


def test_discriminators_judge_the_patches_and_the_error_does_not(
    tiny_config, photo_crops, monkeypatch
):
    """In a joint step, and the generator's gradient comes through them: here they bring nothing but
    a constant."""
    monkeypatch.setattr(
        steps, "with_patches", lambda completed, mask: jnp.where(mask, 0, completed)
    )
    images = jnp.asarray(photo_crops[:, :16, :16])
    create = jax.jit(create_train_state, static_argnums=1)
    state = create(jax.random.key(0), tiny_config, np.full(3, 0.5, np.float32))
    found = []
    for patches in (False, True):
        recipe = build_recipe(replace(tiny_config, losses={"patches": patches}))
        found.append(jax.jit(functools.partial(steps.joint_step, recipe))(state, images)[1])
    plain, patched = found
    for name in ("reconstruction", "joint_real"):
        np.testing.assert_allclose(plain.losses[name], patched.losses[name], rtol=1e-6)
    assert plain.losses["joint_completed"] != patched.losses["joint_completed"]
    assert plain.measures["adversarial_gradient_ratio"] > 0
    assert patched.measures["adversarial_gradient_ratio"] == 0
