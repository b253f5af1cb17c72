"""What a new run starts from, where that is not random: trained generators and discriminators."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import numpy as np

from glcic_jax.config.settings import Config
from glcic_jax.errors import UserError
from glcic_jax.importing.discriminators import read_discriminators
from glcic_jax.inpainting.generators import find_generator
from glcic_jax.networks.registry import generator_differences


class Initial(NamedTuple):
    """Variables as NumPy arrays; None: random ones."""

    generator: Any = None
    """`{"params", "batch_stats", "constants"}`."""
    discriminator: Any = None
    """`{"params", "batch_stats"}`."""


def initial_variables(config: Config) -> Initial:
    """What `config.initial` and `config.initial_discriminators` name.

    Raises:
        UserError: there is no such file or run, or it holds other networks than `config`'s.
    """
    discriminator = None
    if config.initial_discriminators:
        discriminator = read_discriminators(config.initial_discriminators, config)
    return Initial(_generator(config) if config.initial else None, discriminator)


def _generator(config: Config) -> Any:
    trained, _, variables = find_generator(config.initial)
    fields = generator_differences(trained, config)
    if fields:
        raise UserError(
            f"--initial {config.initial} is another network than this run's "
            f"({'; '.join(fields)}); set these options alike"
        )
    return jax.tree.map(np.asarray, variables)
