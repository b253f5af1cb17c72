"""Real images for the tests, and the small configurations that they train."""

from __future__ import annotations

import functools
import importlib
import os
import subprocess
import sys

import jax
import numpy as np
import pytest
import skimage.data
from PIL import Image
from support import finish, start_python

from glcic_jax.commands import command_line
from glcic_jax.config.settings import Config, DataConfig, LoopConfig, ModelConfig, PhaseConfig

_LONGEST = (
    "test_properties.py",
    "test_steps.py",
    "test_distributed.py",
    "test_training.py",
    "test_photographs.py",
    "test_two_passes.py",
    "test_texture.py",
    "test_masks.py",
    "test_page.py",
    "test_comparison.py",
    "test_loop.py",
    "test_discriminators_torch.py",
    "test_extension.py",
    "test_fill.py",
    "test_benchmarks_torch.py",
    "test_main.py",
    "test_onnx.py",
    "test_generators.py",
    "test_images.py",
    "test_whole_photographs.py",
    "test_networks.py",
    "test_campaign.py",
    "test_views.py",
    "test_stablehlo.py",
    "test_contrast.py",
    "test_benchmarks.py",
    "test_devices.py",
    "test_checkpoints.py",
    "test_inpaint.py",
    "test_operators.py",
    "test_pipeline.py",
    "test_import_command_torch.py",
    "test_pyramids.py",
    "test_parity_torch.py",
    "test_blending.py",
    "test_registry.py",
    "test_mask_folder.py",
    "test_imports.py",
)


def pytest_collection_modifyitems(items):
    """The longest files first, so that no worker is left alone with one of them at the end."""
    place = {name: number for number, name in enumerate(_LONGEST)}
    items.sort(key=lambda item: place.get(item.path.name, len(place)))


@pytest.fixture(autouse=True, scope="module")
def _forget_programs():
    """Each compiled program holds hundreds of memory mappings, of which Linux grants a process
    65,530: likely why a worker that was given most of the files once aborted while compiling."""
    yield
    jax.clear_caches()


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


@pytest.fixture(scope="session")
def photo() -> np.ndarray:
    """A real photograph with different sides, smooth enough for JPEG: uint8 (90, 120, 3)."""
    image = Image.fromarray(skimage.data.chelsea()[:270, :360])
    return np.asarray(image.resize((120, 90), Image.Resampling.LANCZOS))


@pytest.fixture
def tiny_config() -> Config:
    """A whole run in a few seconds: narrow networks at 16 px, with few layers, for each of them
    takes its time to trace and to compile."""
    return Config(
        image_size=16,
        data=DataConfig(batch_size=8),
        model=ModelConfig(
            width=4,
            downsamples=1,
            dilations=(2,),
            discriminator_width=4,
            discriminator_halvings=1,
            dense_features=8,
        ),
        phases=PhaseConfig(4, 3, 4),
        loop=LoopConfig(log_every=1, validate_every=4, save_every=2, validation_images=16),
    )


@pytest.fixture
def call_program(monkeypatch, capsys, caplog):
    """Call a program's `main` in this process, which has imported everything already; for input
    that it refuses. Returns its status and what it wrote to stderr."""

    def call(module: str, *arguments: str) -> tuple[int, str]:
        # What a program sets for its own process stays as it is in this one.
        flags = f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count=1"
        monkeypatch.setenv("XLA_FLAGS", flags)
        monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "")
        monkeypatch.setattr(sys, "argv", [module, *arguments])
        with pytest.raises(SystemExit) as stopped:
            command_line.run(importlib.import_module(module).main)
        assert caplog.records == [], "in a process of its own these would be on stderr"
        return stopped.value.code, capsys.readouterr().err

    return call


@pytest.fixture(scope="session")
def start_program(tmp_path_factory):
    """`support.start_python` with compiled programs kept for the whole session."""
    return functools.partial(start_python, tmp_path_factory.getbasetemp() / "compiled")


@pytest.fixture(scope="session")
def run_python(start_program):
    """Run a Python program of the project in a new process; returns the finished process."""

    def run(*arguments: str, timeout: float = 300, **options) -> subprocess.CompletedProcess:
        return finish(start_program(*arguments, **options), timeout)

    return run
