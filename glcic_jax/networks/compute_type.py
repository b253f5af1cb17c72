"""The type of numbers that convolutions compute in, where a configuration leaves it to the device.

Parameters, statistics and losses are float32 in any case.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import jax

from glcic_jax.config.settings import Config

_LEAST_CAPABILITY = 8.0
"""NVIDIA GPUs multiply bfloat16 in hardware from Ampere on."""


def with_compute_type(config: Config) -> Config:
    """The configuration with `model.compute_dtype` "auto" decided by JAX's first device."""
    if config.model.compute_dtype != "auto":
        return config
    chosen: Literal["float32", "bfloat16"]
    chosen = "bfloat16" if is_made_for_bfloat16(jax.devices()[0]) else "float32"
    return dataclasses.replace(
        config, model=dataclasses.replace(config.model, compute_dtype=chosen)
    )


def is_made_for_bfloat16(device: Any) -> bool:
    """Whether a `jax.Device` multiplies bfloat16 faster than float32: TPUs, NVIDIA GPUs of compute
    capability 8 or more. Others have not been measured, or, as CPUs, lose by it."""
    if device.platform == "tpu":
        return True
    try:
        return device.platform == "gpu" and float(device.compute_capability) >= _LEAST_CAPABILITY
    except (AttributeError, ValueError):  # AMD's say gfx942
        return False
