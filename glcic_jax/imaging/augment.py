"""Random changes to training images, in JAX, inside the compiled step."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jax.scipy.ndimage import map_coordinates

from glcic_jax.config.settings import AugmentConfig
from glcic_jax.imaging.blur import gaussian_blur


def augment(keys_B: jax.Array, image_BxHxWx3: jax.Array, config: AugmentConfig) -> jax.Array:
    """Flip, turn, zoom and blur each image, each with its probability.

    Args:
        keys_B: one typed PRNG key for each image, which alone decides what happens to it.
        image_BxHxWx3: float32 in [0, 1].
        config: probabilities and limits. What has probability 0 is not computed at all.

    Returns:
        float32 image_BxHxWx3 in [0, 1]; an image that drew nothing comes back bit for bit.
    """
    return jax.vmap(lambda key, image: _augment_one(key, image, config))(keys_B, image_BxHxWx3)


def _augment_one(key: jax.Array, image: jax.Array, config: AugmentConfig) -> jax.Array:
    flip_key, rotate_key, zoom_key, blur_key = jax.random.split(key, 4)
    if config.flip > 0:
        flipped = jax.random.bernoulli(flip_key, float(config.flip))
        image = jnp.where(flipped, image[:, ::-1], image)
    if config.rotate > 0 or config.zoom > 0:
        image = _random_warp(rotate_key, zoom_key, image, config)
    if config.blur > 0:
        coin, sigma_key = jax.random.split(blur_key)
        # Below 0.1 a Gaussian is the identity in float32.
        sigma = jax.random.uniform(
            sigma_key, minval=min(0.1, config.max_sigma), maxval=config.max_sigma
        )
        blurred = gaussian_blur(image, sigma, radius=math.ceil(3 * config.max_sigma))
        blurred = jnp.clip(blurred, 0, 1)
        image = jnp.where(jax.random.bernoulli(coin, float(config.blur)), blurred, image)
    return image


def _random_warp(
    rotate_key: jax.Array, zoom_key: jax.Array, image: jax.Array, config: AugmentConfig
) -> jax.Array:
    rotate_coin, angle_key = jax.random.split(rotate_key)
    zoom_coin, factor_key = jax.random.split(zoom_key)
    rotated = jax.random.bernoulli(rotate_coin, float(config.rotate))
    zoomed = jax.random.bernoulli(zoom_coin, float(config.zoom))
    limit = config.max_degrees
    degrees = jax.random.uniform(angle_key, minval=-limit, maxval=limit) * rotated
    factor = jnp.where(
        zoomed, jax.random.uniform(factor_key, minval=1.0, maxval=config.max_zoom), 1
    )
    return jnp.where(rotated | zoomed, warp(image, degrees, factor), image)


def warp(image_HxWxC: jax.Array, degrees: jax.Array | float, zoom: jax.Array | float) -> jax.Array:
    """Turn and enlarge about the middle, bilinear, with mirrored borders.

    Args:
        image_HxWxC: float32 in [0, 1].
        degrees: scalar, rotation, counter-clockwise.
        zoom: scalar, magnification.

    Returns:
        float32 image_HxWxC in [0, 1].
    """
    height, width = image_HxWxC.shape[:2]
    middle_y, middle_x = (height - 1) / 2, (width - 1) / 2
    y, x = jnp.meshgrid(jnp.arange(height) - middle_y, jnp.arange(width) - middle_x, indexing="ij")
    angle = jnp.deg2rad(degrees)
    cos, sin = jnp.cos(angle) / zoom, jnp.sin(angle) / zoom
    # Where each pixel of the result comes from: the inverse map, with y pointing down.
    source = (cos * y + sin * x + middle_y, cos * x - sin * y + middle_x)

    def sample(channel: jax.Array) -> jax.Array:
        return map_coordinates(channel, source, order=1, mode="reflect")

    return jnp.clip(jax.vmap(sample, in_axes=-1, out_axes=-1)(image_HxWxC), 0, 1)
