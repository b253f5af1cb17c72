"""A training step as `train.py` runs it: compiled, its state donated, the batch shared out."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from glcic_jax.config.settings import Config, Phase
from glcic_jax.runtime import devices
from glcic_jax.training.loop import compile_step
from glcic_jax.training.recipe import build_recipe
from glcic_jax.training.state import TrainState, create_train_state


class Stepping(NamedTuple):
    """A compiled step, the state to start from and the mesh that batches are put on."""

    mesh: Mesh
    state: TrainState
    step: Any


def start(
    config: Config,
    phase: Phase,
    mean_pixel: np.ndarray,
    resident: np.ndarray | None = None,
    mesh: Mesh | None = None,
) -> Stepping:
    """One phase's step.

    Args:
        config: of the run.
        phase: completion, discriminator or joint.
        mean_pixel: float32 of shape (3,) in [0, 1].
        resident: uint8 image_NxSxSx3, if batches are to be int32 indices into it.
        mesh: of the devices that share the batch; None: all of them.
    """
    mesh = devices.batch_mesh() if mesh is None else mesh
    create = jax.jit(create_train_state, static_argnums=1, out_shardings=devices.replicated(mesh))
    state = create(jax.random.key(0), config, mean_pixel)
    placed = None if resident is None else devices.put_replicated(mesh, resident)
    return Stepping(mesh, state, compile_step(build_recipe(config), phase, mesh, placed))


def shuffled_batches(count: int, batch_size: int) -> Iterator[np.ndarray]:
    """int32 indices_B below `count`, in the shuffled order of one epoch after the other."""
    rng = np.random.default_rng(0)
    for _ in itertools.count():
        order = rng.permutation(count).astype(np.int32)
        for first in range(0, count - batch_size + 1, batch_size):
            yield order[first : first + batch_size]


def mean_pixel(crops: np.ndarray) -> np.ndarray:
    """float32 of shape (3,) in [0, 1]: the mean of uint8 image_NxSxSx3."""
    return (crops.mean(axis=(0, 1, 2)) / 255).astype(np.float32)
