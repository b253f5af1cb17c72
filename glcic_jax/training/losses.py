"""Losses of the generator and the discriminators: pure, float32 whatever the compute dtype.

Discriminators return logits by name; `LossConfig` weighs the adversarial term of each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp

from glcic_jax.config.settings import LossConfig

_LEAST_ERROR = (2 / 255) ** 2


def masked_squared_error(output: jax.Array, truth: jax.Array, mask: jax.Array) -> jax.Array:
    """Squared error inside the hole, `||M * (C(x, M) - x)||^2` (Iizuka et al. 2017, eq. 2).

    Divided by the number of values in the batch, so that it does not grow with the image; a
    larger hole weighs more, as in the paper.

    Args:
        output: the network's output, image_BxHxWx3.
        truth: the original, image_BxHxWx3 in [0, 1].
        mask: mask_BxHxWx1, 1 is the hole.

    Returns:
        float32 scalar, at least 0.
    """
    return jnp.mean(jnp.square(_masked_difference(output, truth, mask)))


def masked_absolute_error(output: jax.Array, truth: jax.Array, mask: jax.Array) -> jax.Array:
    """Absolute error inside the hole; arguments, image_BxHxWx3 twice and mask_BxHxWx1, and scale as
    in `masked_squared_error`."""
    return jnp.mean(jnp.abs(_masked_difference(output, truth, mask)))


def logarithmic_error(output: jax.Array, truth: jax.Array, mask: jax.Array) -> jax.Array:
    """Mean over images of the logarithm of the mean squared error inside the hole.

    Up to a factor and a constant it is the mean hole PSNR, so that an image whose error is small
    weighs as much as one whose error is large. Below two levels of 255 nothing is gained.
    Arguments as in `masked_squared_error`: image_BxHxWx3 twice and mask_BxHxWx1; float32 scalar.
    """
    square_B = jnp.sum(jnp.square(_masked_difference(output, truth, mask)), (1, 2, 3))
    mean_B = square_B / jnp.maximum(3 * jnp.sum(mask, (1, 2, 3)), 1.0)
    return jnp.mean(jnp.log(mean_B + _LEAST_ERROR))


def _masked_difference(output: jax.Array, truth: jax.Array, mask: jax.Array) -> jax.Array:
    return mask * (output.astype(jnp.float32) - truth.astype(jnp.float32))


def reconstruction_loss(
    output: jax.Array, truth: jax.Array, mask: jax.Array, config: LossConfig
) -> jax.Array:
    """The configured error inside the hole, float32 scalar; arguments as in
    `masked_squared_error`: image_BxHxWx3 twice and mask_BxHxWx1."""
    errors = {
        "squared": masked_squared_error,
        "absolute": masked_absolute_error,
        "logarithmic": logarithmic_error,
    }
    return errors[config.reconstruction](output, truth, mask)


def cross_entropy_real(logits: jax.Array) -> jax.Array:
    """Mean of `-log sigmoid(logits)`: what it costs to be called completed. float32 scalar >= 0,
    of logits of any shape.

    The generator's adversarial term is the same function of its own images' logits: the
    non-saturating form of Goodfellow et al. 2014, section 3.
    """
    return jnp.mean(jax.nn.softplus(-logits.astype(jnp.float32)))


def cross_entropy_completed(logits: jax.Array) -> jax.Array:
    """Mean of `-log(1 - sigmoid(logits))`: what it costs to be called real; see
    `cross_entropy_real`: logits of any shape, float32 scalar >= 0."""
    return jnp.mean(jax.nn.softplus(logits.astype(jnp.float32)))


def hinge_real(logits: jax.Array) -> jax.Array:
    """Mean of `max(0, 1 - logits)` (Lim & Ye 2017, arXiv:1705.02894); logits of any
    shape, float32 scalar >= 0."""
    return jnp.mean(jax.nn.relu(1 - logits.astype(jnp.float32)))


def hinge_completed(logits: jax.Array) -> jax.Array:
    """Mean of `max(0, 1 + logits)`; of any shape, see `hinge_real`."""
    return jnp.mean(jax.nn.relu(1 + logits.astype(jnp.float32)))


def hinge_generator(logits: jax.Array) -> jax.Array:
    """Mean of `-logits`: the generator's side of the hinge loss; any shape, unbounded."""
    return -jnp.mean(logits.astype(jnp.float32))


def least_squares_real(logits: jax.Array) -> jax.Array:
    """Mean of `(logits - 1)^2 / 2` of any shape (Mao et al. 2017, eq. 2: b = c = 1, a = 0)."""
    return 0.5 * jnp.mean(jnp.square(logits.astype(jnp.float32) - 1))


def least_squares_completed(logits: jax.Array) -> jax.Array:
    """Mean of `logits^2 / 2`; of any shape, see `least_squares_real`."""
    return 0.5 * jnp.mean(jnp.square(logits.astype(jnp.float32)))


class AdversarialLoss(NamedTuple):
    """One way to make losses of logits: the discriminators' two sides and the generator's."""

    real: Callable[[jax.Array], jax.Array]
    completed: Callable[[jax.Array], jax.Array]
    generator: Callable[[jax.Array], jax.Array]
    boundary: float
    """The logit at which real and completed cost the same."""


ADVERSARIAL: Mapping[str, AdversarialLoss] = {
    "cross_entropy": AdversarialLoss(
        cross_entropy_real, cross_entropy_completed, cross_entropy_real, 0.0
    ),
    "hinge": AdversarialLoss(hinge_real, hinge_completed, hinge_generator, 0.0),
    "least_squares": AdversarialLoss(
        least_squares_real, least_squares_completed, least_squares_real, 0.5
    ),
}


def discriminator_terms(
    real: Mapping[str, jax.Array], completed: Mapping[str, jax.Array], config: LossConfig
) -> dict[str, jax.Array]:
    """Named terms of the discriminators' loss; their sum is minimised.

    Args:
        real: logits of real images by the name of the discriminator's output, any shape.
        completed: logits of completed images, same names, any shape.
        config: the kind of loss.

    Returns:
        `{name}_real` and `{name}_completed` for each output, float32 scalars.
    """
    loss = ADVERSARIAL[config.adversarial]
    terms = {}
    for name in real:
        terms[f"{name}_real"] = loss.real(real[name])
        terms[f"{name}_completed"] = loss.completed(completed[name])
    return terms


def discriminator_accuracy(
    real: Mapping[str, jax.Array], completed: Mapping[str, jax.Array], config: LossConfig
) -> dict[str, jax.Array]:
    """How often each discriminator is right; arguments as for `discriminator_terms`.

    Returns:
        `{name}_accuracy_real` and `{name}_accuracy_completed` in [0, 1], float32 scalars.
    """
    boundary = ADVERSARIAL[config.adversarial].boundary
    shares = {}
    for name in real:
        shares[f"{name}_accuracy_real"] = jnp.mean(real[name] > boundary, dtype=jnp.float32)
        shares[f"{name}_accuracy_completed"] = jnp.mean(
            completed[name] <= boundary, dtype=jnp.float32
        )
    return shares


def adversarial_terms(
    completed: Mapping[str, jax.Array], config: LossConfig
) -> dict[str, jax.Array]:
    """Named, weighted adversarial terms of the generator's joint loss.

    Args:
        completed: logits of completed images by the name of the discriminator's output, any
            shape.
        config: the kind of loss and the weight of each name.

    Returns:
        `adversarial_{name}` for each output, float32 scalars, to be added to the reconstruction.
    """
    weights = {
        "joint": config.joint_weight,
        "global": config.global_weight,
        "local": config.local_weight,
        "patch": config.patch_weight,
    }
    loss = ADVERSARIAL[config.adversarial]
    return {
        f"adversarial_{name}": weights[name] * loss.generator(logits)
        for name, logits in completed.items()
    }
