"""The holes of an evaluation, which follow from (protocol, seed, image index) and nothing else."""

from __future__ import annotations

import zlib

import jax
import jax.numpy as jnp

from glcic_jax.config.rules import PROTOCOLS
from glcic_jax.config.scoring import HoleProtocol
from glcic_jax.config.settings import pixels
from glcic_jax.imaging.folder_masks import unmoved_masks
from glcic_jax.imaging.masks import (
    filled_rectangles,
    freeform_masks,
    pixel_masks,
    rectangle_masks,
)


def protocol_masks(
    protocol: HoleProtocol,
    seed: int,
    indices_B: jax.Array,
    image_size: int,
    cover_NxSxS: jax.Array | None = None,
) -> jax.Array:
    """The masks of an evaluation: functions of the protocol, the seed and the image's index.

    rectangle: one, sides uniform in a quarter to a half of the image side. center: the middle
    quarter of the area. freeform: two to five brush strokes anywhere. pixels: a quarter to three
    quarters of all pixels are missing. folder:PATH: one of the masks given, as it is, wherever the
    folder is.

    Args:
        protocol: kind of the holes.
        seed: another seed gives other masks.
        indices_B: integers, the images' positions in their split.
        image_size: side S of the image in pixels.
        cover_NxSxS: uint8, the masks of the folder, see `imaging.folder_masks`.

    Returns:
        float32 mask_BxSxSx1 of zeros and ones.
    """
    kind = protocol.partition(":")[0]
    name_key = jax.random.fold_in(jax.random.key(seed), zlib.crc32(kind.encode()))
    keys_B = jax.vmap(jax.random.fold_in, in_axes=(None, 0))(name_key, jnp.asarray(indices_B))
    corner_Bx2 = jnp.zeros((keys_B.shape[0], 2), jnp.int32)
    match kind:
        case "folder" if cover_NxSxS is not None:
            return unmoved_masks(keys_B, cover_NxSxS)
        case "rectangle":
            sides = (pixels(0.25, image_size), pixels(0.5, image_size))
            return rectangle_masks(keys_B, image_size, sides)
        case "center":
            side = pixels(0.5, image_size)
            start_Bx2 = corner_Bx2 + (image_size - side) // 2
            return filled_rectangles(start_Bx2, jnp.full_like(start_Bx2, side), image_size)
        case "freeform":
            brush = (0.03 * image_size, 0.1 * image_size)
            return freeform_masks(keys_B, image_size, brush, (2, 5), corner_Bx2, image_size)
        case "pixels":
            return pixel_masks(keys_B, image_size, (0.25, 0.75), corner_Bx2, image_size)
    raise ValueError(f"unknown protocol {protocol!r}; known are {', '.join(PROTOCOLS)}")
