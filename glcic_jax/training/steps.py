"""The update steps of the three phases: pure `(recipe, state, images) -> (state, terms)`.

Each is one XLA program under `jax.jit`. The batch may be sharded over a mesh, or the step may run
inside `jax.pmap` or `jax.shard_map(..., check_vma=False)` with `axis_name` set on both the networks
and the step: the result is the same to rounding, because every image draws from a key of its own
and because batch statistics and gradients span the whole batch either way. shard_map's default,
`check_vma=True`, adds gradients up by itself and is not what the steps are written for.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from glcic_jax.config.settings import Config, window_size
from glcic_jax.imaging.augment import augment
from glcic_jax.imaging.masks import crop, local_windows, training_masks
from glcic_jax.imaging.values import composite, to_float
from glcic_jax.networks.interface import Generator
from glcic_jax.networks.registry import build_discriminator, build_generator
from glcic_jax.training import losses
from glcic_jax.training.optimizers import build_discriminator_optimizer, build_generator_optimizer
from glcic_jax.training.state import NetworkState, TrainState

Terms = dict[str, jax.Array]

_MOST_SCALED = 1e4
"""Discriminators that know nothing yet have almost no gradient; it is not blown up beyond this."""


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


def completion_step(
    recipe: Recipe, state: TrainState, image_BxSxSx3: jax.Array
) -> tuple[TrainState, Terms]:
    """Phase 1: one update of the completion network by its reconstruction loss alone.

    Args:
        recipe: settings, networks and update rules (static).
        state: the run so far; safe to donate.
        image_BxSxSx3: uint8 training images.

    Returns:
        The next state and float32 scalars by name: `reconstruction`, `generator_gradient_norm`.
    """
    batch = _draw_batch(recipe, state, image_BxSxSx3)

    def loss(params):
        output, batch_stats = _generate(recipe, state, params, batch)
        return losses.reconstruction_loss(
            output, batch.image, batch.mask, recipe.config.losses
        ), batch_stats

    (value, batch_stats), gradient = jax.value_and_grad(loss, has_aux=True)(state.generator.params)
    state, norm = _update_generator(recipe, state, gradient, batch_stats)
    terms = {"reconstruction": value, "generator_gradient_norm": norm}
    return _next(state), _mean_over_devices(recipe, terms)


def discriminator_step(
    recipe: Recipe, state: TrainState, image_BxSxSx3: jax.Array
) -> tuple[TrainState, Terms]:
    """Phase 2: one update of the discriminators; the completion network does not change.

    Arguments as in `completion_step`. Terms: `{name}_real` and `{name}_completed` for each logit
    of the discriminator, `{name}_accuracy_real` and `{name}_accuracy_completed`,
    `discriminator_gradient_norm`.
    """
    batch = _draw_batch(recipe, state, image_BxSxSx3)
    output, _ = _generate(recipe, state, state.generator.params, batch)
    completed = composite(output, batch.image, batch.mask)

    def loss(params):
        real_logits, batch_stats = _judge_real(recipe, params, state, batch)
        logits, batch_stats = _judge(recipe, params, batch_stats, completed, batch.corner)
        total, terms = _discriminator_loss(recipe, real_logits, logits)
        terms |= losses.discriminator_accuracy(real_logits, logits, recipe.config.losses)
        return total, (terms, batch_stats)

    gradient, (terms, batch_stats) = jax.grad(loss, has_aux=True)(state.discriminator.params)
    state, norm = _update_discriminator(recipe, state, gradient, batch_stats)
    terms |= {"discriminator_gradient_norm": norm}
    return _next(state), _mean_over_devices(recipe, terms)


def joint_step(
    recipe: Recipe, state: TrainState, image_BxSxSx3: jax.Array
) -> tuple[TrainState, Terms]:
    """Phase 3: one update of both, each from the state before the step.

    The generator runs forward once, and so do the discriminators on its images: the two pull-backs
    of that one pass give the discriminators the gradient of their loss by their parameters, and
    the generator the gradient of its adversarial terms by its output. Neither ever sees the
    other's gradient. (The paper updates the discriminators first and judges again; updating both
    from one pass differs by one small step of the discriminators and saves that pass.)

    Arguments as in `completion_step`. Terms: those of both other steps, `adversarial_{name}` for
    each logit, already weighted but not scaled, `adversarial_gradient_ratio`, see
    `_gradient_ratio`, and `adversarial_scale`, see `_adversarial_scale`.
    """
    batch = _draw_batch(recipe, state, image_BxSxSx3)
    output, pull_output, generator_stats = jax.vjp(
        lambda params: _generate(recipe, state, params, batch),
        state.generator.params,
        has_aux=True,
    )
    completed = composite(output, batch.image, batch.mask)
    judged = _judge_both(recipe, state, batch, completed)

    (by_real, by_fake), discriminator_terms = jax.grad(
        lambda *logits: _discriminator_loss(recipe, *logits), argnums=(0, 1), has_aux=True
    )(judged.real_logits, judged.logits)
    discriminator_terms |= losses.discriminator_accuracy(
        judged.real_logits, judged.logits, recipe.config.losses
    )
    (gradient_real,) = judged.pull_real(by_real)
    gradient_fake, _ = judged.pull(by_fake)
    gradient = jax.tree.map(jnp.add, gradient_real, gradient_fake)
    next_state, discriminator_norm = _update_discriminator(
        recipe, state, gradient, judged.batch_stats
    )

    (by_output, by_logits), generator_terms = jax.grad(
        lambda *output_and_logits: _generator_loss(recipe, batch, *output_and_logits),
        argnums=(0, 1),
        has_aux=True,
    )(output, judged.logits)
    _, by_completed = judged.pull(by_logits)
    # Outside the hole the completed image is the original, whatever the generator says.
    by_completed = batch.mask * by_completed
    ratio = _gradient_ratio(recipe, by_completed, by_output)
    scale = _adversarial_scale(recipe, ratio)
    (gradient,) = pull_output(by_output + scale * by_completed)
    next_state, generator_norm = _update_generator(recipe, next_state, gradient, generator_stats)

    terms = generator_terms | discriminator_terms
    terms["adversarial_gradient_ratio"] = scale * ratio
    terms["adversarial_scale"] = scale
    terms["generator_gradient_norm"] = generator_norm
    terms["discriminator_gradient_norm"] = discriminator_norm
    return _next(next_state), _mean_over_devices(recipe, terms)


STEPS = {
    "completion": completion_step,
    "discriminator": discriminator_step,
    "joint": joint_step,
}


# --- What the steps share -------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class _Batch:
    """image_BxSxSx3 and mask_BxSxSx1 float32; corners_Bx2 int32 of the local windows."""

    image: jax.Array
    mask: jax.Array
    corner: jax.Array
    real_corner: jax.Array


def _draw_batch(recipe: Recipe, state: TrainState, image_u8: jax.Array) -> _Batch:
    config = recipe.config
    batch_size, size = image_u8.shape[0], config.image_size
    place_B = jnp.arange(batch_size)
    if recipe.axis_name is not None:
        place_B = place_B + batch_size * jax.lax.axis_index(recipe.axis_name)
    key = jax.random.fold_in(jax.random.wrap_key_data(state.key_data), state.step)
    keys_B = jax.vmap(jax.random.fold_in, in_axes=(None, 0))(key, place_B)
    keys_5xB = jax.vmap(lambda key: jax.random.split(key, 5), out_axes=1)(keys_B)

    image = augment(keys_5xB[0], to_float(image_u8), config.augment)
    mask = training_masks(keys_5xB[1], size, config.masks)
    # The real window is placed by a hole of its own, as in the paper's algorithm 1.
    other_mask = training_masks(keys_5xB[2], size, config.masks)
    window = window_size(config)
    return _Batch(
        image,
        mask,
        local_windows(keys_5xB[3], mask, window),
        local_windows(keys_5xB[4], other_mask, window),
    )


def _generate(
    recipe: Recipe, state: TrainState, params: Any, batch: _Batch
) -> tuple[jax.Array, Any]:
    """The generator's raw output in training mode, and its next running statistics."""
    variables = {
        "params": params,
        "batch_stats": state.generator.batch_stats,
        "constants": {"mean_pixel": state.mean_pixel},
    }
    output, updates = recipe.generator.apply(
        variables, batch.image, batch.mask, train=True, mutable=["batch_stats"]
    )
    return output, updates["batch_stats"]


def _judge(
    recipe: Recipe, params: Any, batch_stats: Any, image: jax.Array, corner: jax.Array
) -> tuple[dict[str, jax.Array], Any]:
    """Logits by name, and the next running statistics."""
    window = crop(image, corner, window_size(recipe.config))
    logits, updates = recipe.discriminator.apply(
        {"params": params, "batch_stats": batch_stats},
        image,
        window,
        train=True,
        mutable=["batch_stats"],
    )
    return logits, updates["batch_stats"]


def _judge_real(
    recipe: Recipe, params: Any, state: TrainState, batch: _Batch
) -> tuple[dict[str, jax.Array], Any]:
    stats = state.discriminator.batch_stats
    return _judge(recipe, params, stats, batch.image, batch.real_corner)


class _Judged(NamedTuple):
    """What the discriminators say of a batch, and the pull-backs of how they came to say it."""

    real_logits: dict[str, jax.Array]
    logits: dict[str, jax.Array]
    pull_real: Callable[..., Any]
    """Gradient by the real logits -> (gradient by the parameters,)."""
    pull: Callable[..., Any]
    """Gradient by the logits of completed images -> (by the parameters, by the images)."""
    batch_stats: Any


def _judge_both(recipe: Recipe, state: TrainState, batch: _Batch, completed: jax.Array) -> _Judged:
    """One pass over the real and one over the completed images; each has its own statistics."""
    params = state.discriminator.params
    real_logits, pull_real, batch_stats = jax.vjp(
        lambda params: _judge_real(recipe, params, state, batch), params, has_aux=True
    )
    logits, pull, batch_stats = jax.vjp(
        lambda params, image: _judge(recipe, params, batch_stats, image, batch.corner),
        params,
        completed,
        has_aux=True,
    )
    return _Judged(real_logits, logits, pull_real, pull, batch_stats)


def _discriminator_loss(recipe: Recipe, real: Any, completed: Any) -> tuple[jax.Array, Terms]:
    terms = losses.discriminator_terms(real, completed, recipe.config.losses)
    return sum(terms.values(), start=jnp.zeros(())), terms


def _generator_loss(
    recipe: Recipe, batch: _Batch, output: jax.Array, logits: Any
) -> tuple[jax.Array, Terms]:
    config = recipe.config.losses
    terms = {
        "reconstruction": losses.reconstruction_loss(output, batch.image, batch.mask, config),
        **losses.adversarial_terms(logits, config),
    }
    return sum(terms.values(), start=jnp.zeros(())), terms


def _gradient_ratio(recipe: Recipe, adversarial: jax.Array, reconstruction: jax.Array) -> jax.Array:
    """Norm of the adversarial over that of the reconstruction gradient by the generator's output.

    How much the discriminators have to say: far below 0.1 they hardly matter, far above 1 they
    decide. Over all devices.
    """
    squares = jnp.stack([jnp.sum(jnp.square(part)) for part in (adversarial, reconstruction)])
    squares = _mean_over_devices(recipe, squares)
    return jnp.sqrt(squares[0] / jnp.maximum(squares[1], jnp.finfo(jnp.float32).tiny))


def _adversarial_scale(recipe: Recipe, ratio: jax.Array) -> jax.Array:
    """What the adversarial gradient is multiplied by for `losses.adversarial_ratio`; 1 if unset.

    After Esser et al. 2021 (arXiv:2012.09841, eq. 7), who compare the gradients by the last layer's
    kernel and stop at the same limit.
    """
    wanted = recipe.config.losses.adversarial_ratio
    if wanted == 0:
        return jnp.ones(())
    return jnp.minimum(wanted / jnp.maximum(ratio, jnp.finfo(jnp.float32).tiny), _MOST_SCALED)


def _update_generator(
    recipe: Recipe, state: TrainState, gradient: Any, batch_stats: Any
) -> tuple[TrainState, jax.Array]:
    network, norm = _update(
        recipe, recipe.generator_optimizer, state.generator, gradient, batch_stats
    )
    average = state.average
    if average is not None:
        # The average starts from the initial weights; the ramp lets it forget them soon.
        step = state.step.astype(jnp.float32)
        decay = jnp.minimum(recipe.config.optimizer.ema_decay, (1 + step) / (10 + step))
        latest = {"params": network.params, "batch_stats": network.batch_stats}
        average = optax.incremental_update(latest, average, 1 - decay)
    return dataclasses.replace(state, generator=network, average=average), norm


def _update_discriminator(
    recipe: Recipe, state: TrainState, gradient: Any, batch_stats: Any
) -> tuple[TrainState, jax.Array]:
    network, norm = _update(
        recipe, recipe.discriminator_optimizer, state.discriminator, gradient, batch_stats
    )
    return dataclasses.replace(state, discriminator=network), norm


def _update(
    recipe: Recipe,
    optimizer: optax.GradientTransformation,
    network: NetworkState,
    gradient: Any,
    batch_stats: Any,
) -> tuple[NetworkState, jax.Array]:
    gradient = _mean_over_devices(recipe, gradient)
    updates, opt_state = optimizer.update(gradient, network.opt_state, network.params)
    params = optax.apply_updates(network.params, updates)
    return NetworkState(params, batch_stats, opt_state), optax.global_norm(gradient)


def _mean_over_devices(recipe: Recipe, tree: Any) -> Any:
    return tree if recipe.axis_name is None else jax.lax.pmean(tree, recipe.axis_name)


def _next(state: TrainState) -> TrainState:
    return dataclasses.replace(state, step=state.step + 1)
