"""What discriminators see of a fill that will get texture: the fill with patches in place.

`inpaint_fn(..., texture=True)` keeps the low frequencies of a deep hole's fill and takes the high
ones from patches of the surroundings. A discriminator that sees the plain fill asks the network for
detail that the patches will bring; one that sees the patches in place can ask for what is left.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from glcic_jax.imaging.depths import hole_stages
from glcic_jax.imaging.values import continue_mirrored
from glcic_jax.inpainting.texture.patches import STEP, part_bands, where_whole
from glcic_jax.inpainting.texture.photograph import LEAST_DEPTH
from glcic_jax.inpainting.texture.synthesis import synthesise


def with_patches(completed_BxSxSx3: jax.Array, mask_BxSxSx1: jax.Array) -> jax.Array:
    """Completed images with the texture of their surroundings in deep holes.

    The gradient goes through the low frequencies, which stay the fill's; what the patches add is
    taken for a constant.

    Args:
        completed_BxSxSx3: float, in [0, 1] outside the hole.
        mask_BxSxSx1: 1 is the hole.

    Returns:
        Images of the same dtype, equal outside the deep holes. An image of which no whole block
        that may be copied is known stays as it is.
    """
    deep_BxSxS = hole_stages(mask_BxSxSx1, LEAST_DEPTH - 1, 1)[..., 0] > 1
    missing_BxSxS = mask_BxSxSx1[..., 0] > 0.5
    textured = jax.vmap(_one)(completed_BxSxSx3.astype(jnp.float32), missing_BxSxS, deep_BxSxS)
    return textured.astype(completed_BxSxSx3.dtype)


def _one(image_SxSx3: jax.Array, missing_SxS: jax.Array, deep_SxS: jax.Array) -> jax.Array:
    side = len(image_SxSx3)
    inside = (slice(STEP, STEP + side),) * 2

    def grow(x_SxSxC: jax.Array) -> jax.Array:
        return continue_mirrored(x_SxSxC[None], STEP, 1)[0]

    image = grow(image_SxSx3)
    missing = grow(missing_SxS[..., None])[..., 0]
    hole, source = (jnp.pad(x_SxS, STEP) for x_SxS in (deep_SxS, ~missing_SxS))
    fixed = jax.lax.stop_gradient(jnp.clip(image, 0.0, 1.0))
    textured = synthesise(fixed, missing, hole, source, STEP)[inside]
    low = part_bands(image, missing).low[inside]
    added = textured - jax.lax.stop_gradient(low)
    has_source = where_whole(source).any()
    return jnp.where(deep_SxS[..., None] & has_source, low + added, image_SxSx3)
