"""Losses of the generator and the discriminators: pure, float32 whatever the compute dtype.

Discriminators return logits by name; `LossConfig` weighs the adversarial term of each.
"""

from __future__ import annotations

from collections.abc import Mapping

import jax
import jax.numpy as jnp

from glcic_jax.config import LossConfig


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
    """Absolute error inside the hole; arguments and scale as in `masked_squared_error`."""
    return jnp.mean(jnp.abs(_masked_difference(output, truth, mask)))


def _masked_difference(output: jax.Array, truth: jax.Array, mask: jax.Array) -> jax.Array:
    return mask * (output.astype(jnp.float32) - truth.astype(jnp.float32))


def reconstruction_loss(
    output: jax.Array, truth: jax.Array, mask: jax.Array, config: LossConfig
) -> jax.Array:
    """The configured error inside the hole, float32 scalar."""
    if config.reconstruction == "absolute":
        return masked_absolute_error(output, truth, mask)
    return masked_squared_error(output, truth, mask)


def cross_entropy_real(logits: jax.Array) -> jax.Array:
    """Mean of `-log sigmoid(logits)`: what it costs to be called completed. float32 scalar >= 0.

    The generator's adversarial term is the same function of its own images' logits: the
    non-saturating form of Goodfellow et al. 2014, section 3.
    """
    return jnp.mean(jax.nn.softplus(-logits.astype(jnp.float32)))


def cross_entropy_completed(logits: jax.Array) -> jax.Array:
    """Mean of `-log(1 - sigmoid(logits))`: what it costs to be called real. float32 scalar >= 0."""
    return jnp.mean(jax.nn.softplus(logits.astype(jnp.float32)))


def discriminator_terms(
    real: Mapping[str, jax.Array], completed: Mapping[str, jax.Array]
) -> dict[str, jax.Array]:
    """Named terms of the discriminators' loss; their sum is minimised.

    Args:
        real: logits of real images by the name of the discriminator's output, any shape.
        completed: logits of completed images, same names.

    Returns:
        `{name}_real` and `{name}_completed` for each output, float32 scalars.
    """
    terms = {}
    for name in real:
        terms[f"{name}_real"] = cross_entropy_real(real[name])
        terms[f"{name}_completed"] = cross_entropy_completed(completed[name])
    return terms


def adversarial_terms(
    completed: Mapping[str, jax.Array], config: LossConfig
) -> dict[str, jax.Array]:
    """Named, weighted adversarial terms of the generator's joint loss.

    Args:
        completed: logits of completed images by the name of the discriminator's output.
        config: the weight of each name.

    Returns:
        `adversarial_{name}` for each output, float32 scalars, to be added to the reconstruction.
    """
    weights = {
        "joint": config.joint_weight,
        "global": config.global_weight,
        "local": config.local_weight,
    }
    return {
        f"adversarial_{name}": weights[name] * cross_entropy_real(logits)
        for name, logits in completed.items()
    }
