"""What the discriminators say of real and of completed images, in training mode."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from glcic_jax.config.settings import window_size
from glcic_jax.imaging.masks import crop
from glcic_jax.training.batch import Batch
from glcic_jax.training.recipe import Recipe
from glcic_jax.training.state import TrainState


def judge(
    recipe: Recipe, params: Any, batch_stats: Any, image_BxSxSx3: jax.Array, corner_Bx2: jax.Array
) -> tuple[dict[str, jax.Array], Any]:
    """Logits of images by name, judged with local windows at `corner_Bx2`; next statistics."""
    window = crop(image_BxSxSx3, corner_Bx2, window_size(recipe.config))
    logits, updates = recipe.discriminator.apply(
        {"params": params, "batch_stats": batch_stats},
        image_BxSxSx3,
        window,
        train=True,
        mutable=["batch_stats"],
    )
    return logits, updates["batch_stats"]


def judge_real(
    recipe: Recipe, params: Any, state: TrainState, batch: Batch
) -> tuple[dict[str, jax.Array], Any]:
    """`judge` of a batch's real images, from the running statistics before the step."""
    stats = state.discriminator.batch_stats
    return judge(recipe, params, stats, batch.image, batch.real_corner)


class Judged(NamedTuple):
    """What the discriminators say of a batch, and the pull-backs of how they came to say it."""

    real_logits: dict[str, jax.Array]
    logits: dict[str, jax.Array]
    pull_real: Callable[..., Any]
    """Gradient by the real logits -> (gradient by the parameters,)."""
    pull: Callable[..., Any]
    """Gradient by the logits of completed images -> (by the parameters, by the images)."""
    batch_stats: Any


def judge_both(
    recipe: Recipe, state: TrainState, batch: Batch, completed_BxSxSx3: jax.Array
) -> Judged:
    """One pass over the real and one over the completed images; each has its own statistics."""
    params = state.discriminator.params
    real_logits, pull_real, batch_stats = jax.vjp(
        lambda params: judge_real(recipe, params, state, batch), params, has_aux=True
    )
    logits, pull, batch_stats = jax.vjp(
        lambda params, image: judge(recipe, params, batch_stats, image, batch.corner),
        params,
        completed_BxSxSx3,
        has_aux=True,
    )
    return Judged(real_logits, logits, pull_real, pull, batch_stats)
