"""From a configuration to the networks it asks for. A new network is added here."""

from __future__ import annotations

import jax.numpy as jnp

from glcic_jax.config import ModelConfig
from glcic_jax.models.completion import CompletionNetwork
from glcic_jax.models.discriminators import ContextDiscriminator


def build_generator(config: ModelConfig, axis_name: str | None = None) -> CompletionNetwork:
    """The completion network. `axis_name`: the batch axis of `jax.pmap` or `shard_map`."""
    return CompletionNetwork(
        width=config.width,
        downsamples=config.downsamples,
        dilations=config.dilations,
        dilated_residual=config.dilated_residual,
        fill=config.fill,
        momentum=config.batch_norm_momentum,
        dtype=jnp.dtype(config.compute_dtype),
        axis_name=axis_name,
    )


def build_discriminator(config: ModelConfig, axis_name: str | None = None) -> ContextDiscriminator:
    """The global and local discriminator as one module with named logits."""
    return ContextDiscriminator(
        width=config.discriminator_width,
        dense_features=config.dense_features,
        fusion=config.fusion,
        momentum=config.batch_norm_momentum,
        dtype=jnp.dtype(config.compute_dtype),
        axis_name=axis_name,
    )
