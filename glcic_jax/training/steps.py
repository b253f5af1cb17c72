"""The update steps of the three phases: pure `(recipe, state, images) -> (state, terms)`.

Each is one XLA program under `jax.jit`. The batch may be sharded over a mesh, or the step may run
inside `jax.pmap` or `jax.shard_map(..., check_vma=False)` with `axis_name` set on both the networks
and the step: the result is the same to rounding, because every image draws from a key of its own
and because batch statistics and gradients span the whole batch either way. shard_map's default,
`check_vma=True`, adds gradients up by itself and is not what the steps are written for.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import optax

from glcic_jax.imaging.values import composite
from glcic_jax.training import losses
from glcic_jax.training.batch import Batch, draw_batch
from glcic_jax.training.judging import judge, judge_both, judge_real
from glcic_jax.training.patches import with_patches
from glcic_jax.training.recipe import Recipe
from glcic_jax.training.state import NetworkState, TrainState
from glcic_jax.training.terms import Scalars, Terms

_MOST_SCALED = 1e4
"""Discriminators that know nothing yet have almost no gradient; it is not blown up beyond this."""


def completion_step(
    recipe: Recipe,
    state: TrainState,
    image_BxSxSx3: jax.Array,
    cover_NxSxS: jax.Array | None = None,
) -> tuple[TrainState, Terms]:
    """Phase 1: one update of the completion network by its reconstruction loss alone.

    Args:
        recipe: settings, networks and update rules (static).
        state: the run so far; safe to donate.
        image_BxSxSx3: uint8 training images.
        cover_NxSxS: uint8, the masks of a folder, where holes are made of them.

    Returns:
        The next state, and the terms `reconstruction` and `generator_gradient_norm`.
    """
    batch = draw_batch(recipe, state, image_BxSxSx3, cover_NxSxS)

    def loss(params):
        output, batch_stats = _generate(recipe, state, params, batch)
        return losses.reconstruction_loss(
            output, batch.image, batch.mask, recipe.config.losses
        ), batch_stats

    (value, batch_stats), gradient = jax.value_and_grad(loss, has_aux=True)(state.generator.params)
    state, norm = _update_generator(recipe, state, gradient, batch_stats)
    terms = Terms({"reconstruction": value}, measures={"generator_gradient_norm": norm})
    return _next(state), _mean_over_devices(recipe, terms)


def discriminator_step(
    recipe: Recipe,
    state: TrainState,
    image_BxSxSx3: jax.Array,
    cover_NxSxS: jax.Array | None = None,
) -> tuple[TrainState, Terms]:
    """Phase 2: one update of the discriminators; the completion network does not change.

    Arguments as in `completion_step`. Terms: `{name}_real` and `{name}_completed` for each logit
    of the discriminator, `{name}_accuracy_real` and `{name}_accuracy_completed`,
    `discriminator_gradient_norm`.
    """
    batch = draw_batch(recipe, state, image_BxSxSx3, cover_NxSxS)
    output, _ = _generate(recipe, state, state.generator.params, batch)
    completed = _shown(recipe, batch, output)

    def loss(params):
        real_logits, batch_stats = judge_real(recipe, params, state, batch)
        logits, batch_stats = judge(recipe, params, batch_stats, completed, batch.corner)
        total, parts = _discriminator_loss(recipe, real_logits, logits)
        right = losses.discriminator_accuracy(real_logits, logits, recipe.config.losses)
        return total, (parts, right, batch_stats)

    gradient, (parts, right, batch_stats) = jax.grad(loss, has_aux=True)(state.discriminator.params)
    state, norm = _update_discriminator(recipe, state, gradient, batch_stats)
    terms = Terms(parts, right, {"discriminator_gradient_norm": norm})
    return _next(state), _mean_over_devices(recipe, terms)


def joint_step(
    recipe: Recipe,
    state: TrainState,
    image_BxSxSx3: jax.Array,
    cover_NxSxS: jax.Array | None = None,
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
    batch = draw_batch(recipe, state, image_BxSxSx3, cover_NxSxS)
    output, pull_output, generator_stats = jax.vjp(
        lambda params: _generate(recipe, state, params, batch),
        state.generator.params,
        has_aux=True,
    )
    completed, pull_shown = jax.vjp(lambda output: _shown(recipe, batch, output), output)
    judged = judge_both(recipe, state, batch, completed)

    (by_real, by_fake), discriminator_parts = jax.grad(
        lambda *logits: _discriminator_loss(recipe, *logits), argnums=(0, 1), has_aux=True
    )(judged.real_logits, judged.logits)
    right = losses.discriminator_accuracy(judged.real_logits, judged.logits, recipe.config.losses)
    (gradient_real,) = judged.pull_real(by_real)
    gradient_fake, _ = judged.pull(by_fake)
    gradient = jax.tree.map(jnp.add, gradient_real, gradient_fake)
    next_state, discriminator_norm = _update_discriminator(
        recipe, state, gradient, judged.batch_stats
    )

    (by_output, by_logits), generator_parts = jax.grad(
        lambda *output_and_logits: _generator_loss(recipe, batch, *output_and_logits),
        argnums=(0, 1),
        has_aux=True,
    )(output, judged.logits)
    _, by_completed = judged.pull(by_logits)
    (by_shown,) = pull_shown(by_completed)
    ratio = _gradient_ratio(recipe, by_shown, by_output)
    scale = _adversarial_scale(recipe, ratio)
    (gradient,) = pull_output(by_output + scale * by_shown)
    next_state, generator_norm = _update_generator(recipe, next_state, gradient, generator_stats)

    measures = {
        "adversarial_gradient_ratio": scale * ratio,
        "adversarial_scale": scale,
        "generator_gradient_norm": generator_norm,
        "discriminator_gradient_norm": discriminator_norm,
    }
    terms = Terms(generator_parts | discriminator_parts, right, measures)
    return _next(next_state), _mean_over_devices(recipe, terms)


STEPS = {
    "completion": completion_step,
    "discriminator": discriminator_step,
    "joint": joint_step,
}


# --- What the steps share -------------------------------------------------------------------


def _generate(
    recipe: Recipe, state: TrainState, params: Any, batch: Batch
) -> tuple[jax.Array, Any]:
    """The generator's raw output in training mode, and its next running statistics."""
    variables = {
        "params": params,
        "batch_stats": state.generator.batch_stats,
        "constants": {"mean_pixel": state.mean_pixel},
    }
    given = {} if batch.start is None else {"start_BxHxWx3": batch.start}
    output, updates = recipe.generator.apply(
        variables, batch.image, batch.mask, train=True, mutable=["batch_stats"], **given
    )
    return output, updates["batch_stats"]


def _shown(recipe: Recipe, batch: Batch, output_BxSxSx3: jax.Array) -> jax.Array:
    """What the discriminators see of the generator's output: the original outside the hole."""
    completed = composite(output_BxSxSx3, batch.image, batch.mask)
    return with_patches(completed, batch.mask) if recipe.config.losses.patches else completed


def _discriminator_loss(recipe: Recipe, real: Any, completed: Any) -> tuple[jax.Array, Scalars]:
    terms = losses.discriminator_terms(real, completed, recipe.config.losses)
    return sum(terms.values(), start=jnp.zeros(())), terms


def _generator_loss(
    recipe: Recipe, batch: Batch, output: jax.Array, logits: Any
) -> tuple[jax.Array, Scalars]:
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
