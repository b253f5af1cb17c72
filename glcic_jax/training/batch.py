"""What a step trains on: augmented images, holes and local windows, drawn from the run's key."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp

from glcic_jax.config.settings import window_size
from glcic_jax.imaging.augment import augment
from glcic_jax.imaging.masks import local_windows
from glcic_jax.imaging.training_masks import training_masks
from glcic_jax.imaging.values import to_float
from glcic_jax.inpainting.coarse_to_fine import first_completion
from glcic_jax.training.recipe import Recipe
from glcic_jax.training.state import TrainState


@dataclasses.dataclass(frozen=True)
class Batch:
    """What one step trains on.

    Attributes:
        image: float32 image_BxSxSx3 in [0, 1], augmented.
        mask: float32 mask_BxSxSx1, 1 is the hole.
        corner: int32 corner_Bx2, top and left of the local windows that hold the holes.
        real_corner: int32 corner_Bx2 of the windows that are cut out of real images.
        start: float32 image_BxSxSx3 in [0, 1], what the network starts from in the holes: where
            they are deep, what it makes of the halved image itself. None: its own fill.
    """

    image: jax.Array
    mask: jax.Array
    corner: jax.Array
    real_corner: jax.Array
    start: jax.Array | None = None


def draw_batch(
    recipe: Recipe,
    state: TrainState,
    image_BxSxSx3: jax.Array,
    cover_NxSxS: jax.Array | None = None,
) -> Batch:
    """Draw all that is random in the next step, each image from a key of its own.

    Args:
        recipe: settings (static).
        state: its key and step decide what is drawn.
        image_BxSxSx3: uint8 training images.
        cover_NxSxS: uint8, the masks of a folder, where holes are made of them.
    """
    config = recipe.config
    batch_size, size = image_BxSxSx3.shape[0], config.image_size
    place_B = jnp.arange(batch_size)
    if recipe.axis_name is not None:
        place_B = place_B + batch_size * jax.lax.axis_index(recipe.axis_name)
    key = jax.random.fold_in(jax.random.wrap_key_data(state.key_data), state.step)
    keys_B = jax.vmap(jax.random.fold_in, in_axes=(None, 0))(key, place_B)
    keys_5xB = jax.vmap(lambda key: jax.random.split(key, 5), out_axes=1)(keys_B)

    image = augment(keys_5xB[0], to_float(image_BxSxSx3), config.augment)
    mask = training_masks(keys_5xB[1], size, config.masks, cover_NxSxS)
    # The real window is placed by a hole of its own, as in the paper's algorithm 1.
    other_mask = training_masks(keys_5xB[2], size, config.masks, cover_NxSxS)
    window = window_size(config)
    return Batch(
        image,
        mask,
        local_windows(keys_5xB[3], mask, window),
        local_windows(keys_5xB[4], other_mask, window),
        _start(recipe, state, image, mask),
    )


def _start(
    recipe: Recipe, state: TrainState, image_BxSxSx3: jax.Array, mask_BxSxSx1: jax.Array
) -> jax.Array | None:
    """See `Batch.start`; by the moving average where there is one, without a gradient."""
    latest = {"params": state.generator.params, "batch_stats": state.generator.batch_stats}
    variables = latest if state.average is None else state.average
    variables = {**variables, "constants": {"mean_pixel": state.mean_pixel}}
    start = first_completion(recipe.generator, variables, image_BxSxSx3, mask_BxSxSx1)
    return jax.lax.stop_gradient(start)
