"""What a step needs besides arrays."""

from __future__ import annotations

import dataclasses

import flax.linen as nn
import optax

from glcic_jax.config.settings import Config
from glcic_jax.networks.interface import Generator
from glcic_jax.networks.registry import build_discriminator, build_generator
from glcic_jax.training.optimizers import build_discriminator_optimizer, build_generator_optimizer


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What a step needs besides arrays: settings, networks and update rules. All static."""

    config: Config
    generator: Generator
    discriminator: nn.Module
    generator_optimizer: optax.GradientTransformation
    discriminator_optimizer: optax.GradientTransformation
    axis_name: str | None = None


def build_recipe(config: Config, axis_name: str | None = None) -> Recipe:
    """The recipe of a configuration.

    `axis_name` is for use inside `jax.pmap` or `jax.shard_map(..., check_vma=False)`.
    """
    return Recipe(
        config,
        build_generator(config, axis_name),
        build_discriminator(config, axis_name),
        build_generator_optimizer(config),
        build_discriminator_optimizer(config),
        axis_name,
    )
