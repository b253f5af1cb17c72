"""Losses against plain NumPy, and their dtype."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from glcic_jax.config.settings import LossConfig
from glcic_jax.training import losses


def sigmoid(x):
    return 1 / (1 + np.exp(-np.asarray(x, np.float64)))


def test_reconstruction_counts_the_hole_only(photo_crops):
    truth = photo_crops[:2].astype(np.float32) / 255
    output = truth[:, ::-1]
    mask = np.zeros((2, 32, 32, 1), np.float32)
    mask[0, 4:10, 8:30] = 1
    total_squared = total_absolute = 0.0
    for b, y, x, c in np.ndindex(truth.shape):
        if mask[b, y, x, 0]:
            difference = float(output[b, y, x, c]) - float(truth[b, y, x, c])
            total_squared += difference**2
            total_absolute += abs(difference)
    squared = losses.reconstruction_loss(output, truth, mask, LossConfig())
    absolute = losses.reconstruction_loss(
        output, truth, mask, LossConfig(reconstruction="absolute")
    )
    np.testing.assert_allclose(squared, total_squared / truth.size, rtol=1e-5)
    np.testing.assert_allclose(absolute, total_absolute / truth.size, rtol=1e-5)


def test_the_logarithmic_error_is_the_mean_psnr(photo_crops):
    truth = photo_crops[:3].astype(np.float32) / 255
    mask = np.zeros((3, 32, 32, 1), np.float32)
    mask[:, 4:10, 8:30] = 1
    output = truth + np.float32([0.1, 0.02, 0.3])[:, None, None, None] * (2 * mask - 1)
    found = losses.reconstruction_loss(
        output, truth, mask, LossConfig(reconstruction="logarithmic")
    )
    psnr = -20 * np.log10([0.1, 0.02, 0.3])
    # But for what two levels of 255 take from the second.
    np.testing.assert_allclose(-10 * found / np.log(10), psnr.mean(), atol=0.3)
    empty = losses.logarithmic_error(output, truth, np.zeros_like(mask))
    assert np.isfinite(empty)


def test_cross_entropies_are_those_of_probabilities():
    logits = np.array([-3.0, -0.5, 0.0, 2.0], np.float32)
    real = -np.log(sigmoid(logits)).mean()
    completed = -np.log(1 - sigmoid(logits)).mean()
    np.testing.assert_allclose(losses.cross_entropy_real(jnp.asarray(logits)), real, rtol=1e-5)
    np.testing.assert_allclose(
        losses.cross_entropy_completed(jnp.asarray(logits)), completed, rtol=1e-5
    )


def test_cross_entropies_stay_finite_for_huge_logits():
    np.testing.assert_allclose(losses.cross_entropy_real(jnp.array([-1e4])), 1e4)
    np.testing.assert_allclose(losses.cross_entropy_completed(jnp.array([1e4])), 1e4)


def test_terms_are_named_and_weighted():
    logits = {"global": jnp.array([0.3]), "local": jnp.array([-1.0])}
    config = LossConfig(global_weight=0.25, local_weight=2.0)
    terms = losses.adversarial_terms(logits, config)
    assert set(terms) == {"adversarial_global", "adversarial_local"}
    np.testing.assert_allclose(terms["adversarial_global"], -0.25 * np.log(sigmoid(0.3)), rtol=1e-5)
    np.testing.assert_allclose(terms["adversarial_local"], -2.0 * np.log(sigmoid(-1.0)), rtol=1e-5)
    both = losses.discriminator_terms(
        logits, {"global": jnp.array([1.0]), "local": jnp.zeros(1)}, config
    )
    assert set(both) == {"global_real", "global_completed", "local_real", "local_completed"}
    np.testing.assert_allclose(both["global_completed"], -np.log(1 - sigmoid(1.0)), rtol=1e-5)


@pytest.mark.parametrize(
    ("kind", "real", "completed", "generator"),
    [
        # logits 2 and -0.5, by hand
        ("hinge", (0 + 1.5) / 2, (3 + 0.5) / 2, -0.75),
        ("least_squares", (1 + 2.25) / 4, (4 + 0.25) / 4, (1 + 2.25) / 4),
    ],
)
def test_other_adversarial_losses_by_hand(kind, real, completed, generator):
    logits = {"patch": jnp.array([[[2.0, -0.5]]])}
    config = LossConfig(adversarial=kind, patch_weight=0.5)
    terms = losses.discriminator_terms(logits, logits, config)
    np.testing.assert_allclose(terms["patch_real"], real, rtol=1e-6)
    np.testing.assert_allclose(terms["patch_completed"], completed, rtol=1e-6)
    adversarial = losses.adversarial_terms(logits, config)
    np.testing.assert_allclose(adversarial["adversarial_patch"], 0.5 * generator, rtol=1e-6)


def test_accuracy_counts_each_side_of_the_boundary():
    real, completed = {"local": jnp.array([0.3, 0.7, 2.0, -1.0])}, {"local": jnp.array([0.1, 0.6])}
    shares = losses.discriminator_accuracy(real, completed, LossConfig())
    np.testing.assert_allclose(shares["local_accuracy_real"], 0.75)
    np.testing.assert_allclose(shares["local_accuracy_completed"], 0.0)
    # Least squares aims at 1 for real and 0 for completed images.
    shares = losses.discriminator_accuracy(real, completed, LossConfig(adversarial="least_squares"))
    np.testing.assert_allclose(shares["local_accuracy_real"], 0.5)
    np.testing.assert_allclose(shares["local_accuracy_completed"], 0.5)


def test_losses_are_float32_for_bfloat16_input():
    image = jnp.full((1, 4, 4, 3), 0.3, jnp.bfloat16)
    mask = jnp.ones((1, 4, 4, 1))
    assert losses.masked_squared_error(image, image * 2, mask).dtype == jnp.float32
    assert losses.masked_absolute_error(image, image * 2, mask).dtype == jnp.float32
    assert losses.cross_entropy_real(jnp.ones(3, jnp.bfloat16)).dtype == jnp.float32
