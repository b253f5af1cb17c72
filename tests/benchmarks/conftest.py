"""The networks of the comparison with PyTorch."""

from __future__ import annotations

import pytest
from support import replace

from glcic_jax.config.settings import Config


@pytest.fixture
def tiny_config(tiny_config) -> Config:
    """With as many layers as the paper's networks have at this size: the benchmarks' PyTorch
    discriminators have no other number, and their generator is compared layer by layer."""
    model = {"downsamples": 2, "dilations": (2, 4), "discriminator_halvings": 0}
    return replace(tiny_config, model=model)
