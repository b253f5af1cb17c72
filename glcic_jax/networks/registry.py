"""From a configuration to the networks it asks for.

A new network is added here, its name in `config.ModelConfig` and, if it completes, the fields that
it reads in `config_json`.
"""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from glcic_jax.config.settings import Config
from glcic_jax.networks.completion import CompletionNetwork, ResidualNetwork
from glcic_jax.networks.context_encoder import ContextEncoder
from glcic_jax.networks.discriminators import ContextDiscriminator, SharedPatchDiscriminator

Generator = CompletionNetwork | ContextEncoder


def build_generator(config: Config, axis_name: str | None = None) -> Generator:
    """The network that completes. `axis_name`: the batch axis of `jax.pmap` or `shard_map`."""
    model = config.model
    common: dict[str, Any] = {
        "width": model.width,
        "fill": model.fill,
        "momentum": model.batch_norm_momentum,
        "dtype": jnp.dtype(model.compute_dtype),
        "axis_name": axis_name,
    }
    if model.generator == "context_encoder":
        return ContextEncoder(config.image_size, bottleneck=model.bottleneck, **common)
    common |= {"downsamples": model.downsamples, "dilations": model.dilations}
    if model.generator == "residual":
        return ResidualNetwork(**common)
    return CompletionNetwork(dilated_residual=model.dilated_residual, **common)


def build_discriminator(config: Config, axis_name: str | None = None) -> nn.Module:
    """The discriminators of a run as one module with named logits."""
    model = config.model
    common: dict[str, Any] = {
        "width": model.discriminator_width,
        "dense_features": model.dense_features,
        "spectral": model.spectral_norm,
        "momentum": model.batch_norm_momentum,
        "dtype": jnp.dtype(model.compute_dtype),
        "axis_name": axis_name,
    }
    if model.discriminator == "shared_patch":
        return SharedPatchDiscriminator(**common)
    return ContextDiscriminator(
        views="both" if model.discriminator == "context" else model.discriminator,
        fusion=model.fusion,
        local_head=model.local_head,
        **common,
    )
