"""The state of a training run: arrays only, so that it can be saved, sharded and donated whole."""

from __future__ import annotations

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from glcic_jax.config.settings import Config, window_size
from glcic_jax.networks.registry import build_discriminator, build_generator
from glcic_jax.training.initial import Initial
from glcic_jax.training.optimizers import build_discriminator_optimizer, build_generator_optimizer


@flax.struct.dataclass
class NetworkState:
    """One network: parameters, running batch statistics and optimizer state, all float32."""

    params: Any
    batch_stats: Any
    opt_state: Any


@flax.struct.dataclass
class TrainState:
    """Everything that a step reads and writes.

    Attributes:
        step: int32 scalar, steps done so far over all phases.
        key_data: uint32, the data of the run's random key; never changes. Step n draws from
            `fold_in(key, n)`.
        mean_pixel: float32 of shape (3,) in [0, 1], of the training set; never changes.
        generator: the completion network.
        discriminator: the global and the local discriminator.
        average: `{"params", "batch_stats"}`, moving average of the generator's; None if off.
    """

    step: jax.Array
    key_data: jax.Array
    mean_pixel: jax.Array
    generator: NetworkState
    discriminator: NetworkState
    average: Any


def create_train_state(
    key: jax.Array, config: Config, mean_pixel: np.ndarray, initial: Initial | None = None
) -> TrainState:
    """Freshly initialised networks and optimizers at step 0.

    Args:
        key: typed random key, a scalar; the same key and config give the same state.
        config: the run's configuration.
        mean_pixel: float32 of shape (3,) in [0, 1].
        initial: variables of networks like `config`'s to start from, the generator's with the mean
            pixel that it knows; None for random weights.
    """
    initial = initial or Initial()
    generator_key, discriminator_key, run_key = jax.random.split(key, 3)
    size, window = config.image_size, window_size(config)
    image, mask = jnp.zeros((1, size, size, 3)), jnp.zeros((1, size, size, 1))
    generator = build_generator(config).init(generator_key, image, mask, train=False)
    if initial.generator is not None:
        generator, mean_pixel = initial.generator, initial.generator["constants"]["mean_pixel"]
    batch_stats = generator.get("batch_stats", {})
    discriminator = build_discriminator(config).init(
        discriminator_key, image, jnp.zeros((1, window, window, 3)), train=False
    )
    if initial.discriminator is not None:
        discriminator = initial.discriminator
    average = None
    if config.optimizer.ema_decay > 0:
        # A real copy: the step donates the state, and one buffer can be donated only once.
        average = jax.tree.map(
            jnp.copy, {"params": generator["params"], "batch_stats": batch_stats}
        )
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        key_data=jax.random.key_data(run_key),
        mean_pixel=jnp.asarray(mean_pixel, jnp.float32),
        generator=NetworkState(
            generator["params"],
            batch_stats,
            build_generator_optimizer(config).init(generator["params"]),
        ),
        discriminator=NetworkState(
            discriminator["params"],
            discriminator["batch_stats"],
            build_discriminator_optimizer(config).init(discriminator["params"]),
        ),
        average=average,
    )


def abstract_train_state(config: Config, sharding: jax.sharding.Sharding | None = None) -> Any:
    """Shapes and dtypes of the run's state as `jax.ShapeDtypeStruct`, to restore into."""
    if sharding is None:
        sharding = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    shapes = jax.eval_shape(
        lambda key: create_train_state(key, config, np.zeros(3, np.float32)), jax.random.key(0)
    )
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), shapes
    )


def generator_variables(state: TrainState) -> dict[str, Any]:
    """Variables to evaluate the generator with: the moving average where there is one."""
    network = {"params": state.generator.params, "batch_stats": state.generator.batch_stats}
    constants = {"constants": {"mean_pixel": state.mean_pixel}}
    return (state.average or network) | constants
