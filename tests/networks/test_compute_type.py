"""Which type networks compute in, where a configuration leaves it to the device."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import pytest
from support import replace

from glcic_jax.config.presets import PRESETS
from glcic_jax.config.settings import Config
from glcic_jax.networks.compute_type import is_made_for_bfloat16, with_compute_type
from glcic_jax.networks.registry import build_discriminator, build_generator


@pytest.mark.parametrize(
    ("device", "expected"),
    [
        ({"platform": "tpu"}, True),
        ({"platform": "gpu", "compute_capability": "9.0"}, True),
        ({"platform": "gpu", "compute_capability": "8.0"}, True),
        ({"platform": "gpu", "compute_capability": "12.1"}, True),
        ({"platform": "gpu", "compute_capability": "7.5"}, False),
        ({"platform": "gpu", "compute_capability": "gfx942"}, False),
        ({"platform": "gpu"}, False),
        ({"platform": "cpu"}, False),
        ({"platform": "cpu", "compute_capability": "9.0"}, False),
    ],
)
def test_devices_that_are_made_for_bfloat16(device, expected):
    assert is_made_for_bfloat16(SimpleNamespace(**device)) is expected


@pytest.mark.parametrize("found", ["float32", "bfloat16"])
def test_networks_compute_in_what_suits_the_device(found, monkeypatch):
    platform = {"float32": "cpu", "bfloat16": "tpu"}[found]
    monkeypatch.setattr(jax, "devices", lambda: [SimpleNamespace(platform=platform)])
    for config in PRESETS.values():
        assert config.model.compute_dtype == "auto"
        assert build_generator(config).dtype == jnp.dtype(found)
    discriminator = build_discriminator(Config())
    assert discriminator.dtype == jnp.dtype(found)


@pytest.mark.parametrize("asked", ["float32", "bfloat16"])
def test_a_type_that_was_asked_for_stays(asked, monkeypatch):
    config = replace(Config(), model={"compute_dtype": asked})
    monkeypatch.setattr(jax, "devices", lambda: pytest.fail("asked for the devices"))
    assert with_compute_type(config) is config
    assert build_generator(config).dtype == jnp.dtype(asked)


def test_nothing_else_is_decided(monkeypatch):
    monkeypatch.setattr(jax, "devices", lambda: [SimpleNamespace(platform="tpu")])
    found = with_compute_type(Config())
    model = dataclasses.replace(found.model, compute_dtype="auto")
    assert dataclasses.replace(found, model=model) == Config()
