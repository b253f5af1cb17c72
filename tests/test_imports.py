"""What an import loads: filling needs no optimizer, no checkpoint library, no data source."""

from __future__ import annotations

import pytest

HEAVY = {
    "optax",
    "orbax",
    "grain",
    "tensorflow_datasets",
    "tensorboardX",
    "scipy",
    "skimage",
    "dm_pix",
    "tyro",
    "glcic_jax.networks.discriminators",
    "glcic_jax.runtime.checkpoints",
    "glcic_jax.evaluation",
    "glcic_jax.training",
    "glcic_jax.data",
}

FILL = """
import numpy as np
import glcic_jax
generator, variables = glcic_jax.load_generator("cifar100")
image = np.full((32, 32, 3), 128, np.uint8)
mask = np.zeros((32, 32), bool)
mask[4:8, 4:8] = True
assert glcic_jax.inpaint_fn(generator, variables, image, mask).shape == image.shape
"""


def loaded(run_python, program: str) -> set[str]:
    done = run_python("-c", program + "\nimport sys; print(*sys.modules)")
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_filling_loads_nothing_of_training(run_python):
    """rich is not in the list: Flax loads it by itself."""
    assert loaded(run_python, FILL) & HEAVY == set()


def test_the_package_alone_loads_nothing(run_python):
    modules = loaded(run_python, "import glcic_jax; glcic_jax.UserError; glcic_jax.PRESETS")
    assert modules & (HEAVY | {"jax", "flax", "numpy"}) == set()


@pytest.mark.parametrize("name", ["complete", "inpaint_fn", "load_generator", "Config"])
def test_public_names_are_the_ones_of_their_rooms(name):
    import glcic_jax

    assert name in glcic_jax.__all__
    assert getattr(glcic_jax, name).__module__.startswith("glcic_jax.")


def test_training_loads_no_report_and_no_torch(run_python):
    modules = loaded(run_python, "import glcic_jax.training.loop")
    assert not {name for name in modules if name.startswith("glcic_jax.evaluation.report")}
    assert "glcic_jax.evaluation.comparison" not in modules
    assert "torch" not in modules
    assert "tensorboardX" in modules


def test_torch_can_be_imported_after_training(run_python):
    """It is hidden from tensorboardX, and from nobody else."""
    pytest.importorskip("torch")
    assert "torch" in loaded(run_python, "import glcic_jax.training.loop\nimport torch")
    assert "torch" in loaded(run_python, "import torch\nimport glcic_jax.training.loop")
