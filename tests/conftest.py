"""Real images for the tests, and the small configurations that they train."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import skimage.data

from glcic_jax.config import Config, DataConfig, LoopConfig, ModelConfig, PhaseConfig

ROOT = Path(__file__).resolve().parent.parent

# Tests compile many programs and run each of them briefly, so the backend's optimizer costs more
# than it saves. JAX reads this when it first compiles, which is after this file is imported.
QUICK_COMPILES = "--xla_backend_optimization_level=0"
os.environ["XLA_FLAGS"] = f"{QUICK_COMPILES} {os.environ.get('XLA_FLAGS', '')}"
os.environ.setdefault("JAX_PLATFORMS", "cpu")


@pytest.fixture(scope="session")
def photo_crops() -> np.ndarray:
    """uint8 image_8x32x32x3 cut out of two real photographs."""
    astronaut, cat = skimage.data.astronaut(), skimage.data.chelsea()
    corners = [(40, 180), (120, 220), (200, 60), (300, 300)]
    return np.stack(
        [
            photo[y : y + 32, x : x + 32]
            for photo in (astronaut, cat[:, :400])
            for y, x in [(y % (photo.shape[0] - 32), x % (photo.shape[1] - 32)) for y, x in corners]
        ]
    )


@pytest.fixture
def tiny_config() -> Config:
    """A whole run in a few seconds: narrow networks at 16 px."""
    return Config(
        image_size=16,
        data=DataConfig(batch_size=8),
        model=ModelConfig(width=4, dilations=(2, 4), discriminator_width=4, dense_features=8),
        phases=PhaseConfig(4, 3, 4),
        loop=LoopConfig(log_every=1, validate_every=4, save_every=2, validation_images=16),
    )


@pytest.fixture
def run_python(tmp_path_factory):
    """Run a Python program of the project in a new process; returns the finished process."""
    cache = tmp_path_factory.getbasetemp() / "compiled"

    def run(*arguments: str, devices: int = 1, timeout: float = 300, **environment: str):
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=ROOT,
            env=python_environment(cache, devices) | environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    return run


def python_environment(cache: Path, devices: int = 1) -> dict[str, str]:
    """Environment of a child process: some virtual devices, compiled programs kept in `cache`."""
    return os.environ | {
        "PYTHONPATH": str(ROOT),
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": f"{QUICK_COMPILES} --xla_force_host_platform_device_count={devices}",
        "JAX_COMPILATION_CACHE_DIR": str(cache),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }


def replace(config: Config, **parts) -> Config:
    """`replace(config, model={"width": 8}, seed=1)`: a changed copy, tables by their fields."""
    changed = {
        name: dataclasses.replace(getattr(config, name), **value)
        if isinstance(value, dict)
        else value
        for name, value in parts.items()
    }
    return dataclasses.replace(config, **changed)
