"""The images of a step, where all images stay on the device and a batch is indices into them."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from glcic_jax.config.settings import Config
from glcic_jax.imaging.pyramids import Pyramids, cut_crops
from glcic_jax.training.state import TrainState

_CROP = 5
"""Number of the crops' keys among those of an image; what a step draws has those before."""


def resident_images(
    config: Config, state: TrainState, resident: jax.Array | Pyramids, index_B: jax.Array
) -> jax.Array:
    """The training images of the next step.

    A crop follows from the run's key, the step and its place in the batch, like all that a step
    draws: a resumed run cuts the same ones, on any number of devices.

    Args:
        config: of the run: side and scales of the crops.
        state: the run so far.
        resident: uint8 image_NxSxSx3, or photographs to cut crops from.
        index_B: int32, which of the N images.

    Returns:
        uint8 image_BxSxSx3.
    """
    if not isinstance(resident, Pyramids):
        return resident[index_B]
    key = jax.random.fold_in(jax.random.wrap_key_data(state.key_data), state.step)

    def crop_key(place: jax.Array) -> jax.Array:
        return jax.random.fold_in(jax.random.fold_in(key, place), _CROP)

    keys_B = jax.vmap(crop_key)(jnp.arange(index_B.shape[0]))
    scales = (config.data.min_scale, config.data.max_scale)
    return cut_crops(keys_B, resident, index_B, config.image_size, scales)
