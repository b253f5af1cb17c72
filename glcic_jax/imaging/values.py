"""Images as values: the uint8 <-> float pair, the composite, padding and grids.

An image is float32 in [0, 1], RGB, `image_BxHxWx3`; on disk and at rest it is uint8. A mask is
float32 0/1, `mask_BxHxWx1`, and 1 marks the hole.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

SHOWN_HOLE = 128
"""Grey value of a hole in a picture."""


def to_float(image_u8: jax.Array | np.ndarray) -> jax.Array:
    """uint8 0..255 of any shape -> float32 in [0, 1]."""
    return jnp.asarray(image_u8, jnp.float32) / 255.0


def to_uint8(image: jax.Array) -> jax.Array:
    """Float in [0, 1] (clipped) of any shape -> uint8 0..255, rounded to nearest.

    Rounding, not truncation: `to_uint8(to_float(x)) == x` for every uint8 x.
    """
    return from_unit(image, jnp.uint8)


def white(dtype: Any) -> int:
    """The value of white: 255 of uint8, 65535 of uint16, 1 of a float type."""
    return int(jnp.iinfo(dtype).max) if jnp.issubdtype(dtype, jnp.integer) else 1


def to_unit(images: jax.Array | np.ndarray) -> jax.Array:
    """uint8, uint16, or any float in [0, 1], of any shape -> float32 in [0, 1]."""
    return jnp.asarray(images, jnp.float32) / np.float32(white(images.dtype))


def from_unit(image: jax.Array, dtype: Any) -> jax.Array:
    """Float in [0, 1] of any shape -> `dtype`; for uint8 and uint16 clipped and rounded."""
    if not jnp.issubdtype(dtype, jnp.integer):
        return image.astype(dtype)
    clipped = jnp.clip(image.astype(jnp.float32), 0.0, 1.0)
    return jnp.round(clipped * np.float32(white(dtype))).astype(dtype)


def composite(inside: jax.Array, outside: jax.Array, mask: jax.Array) -> jax.Array:
    """`inside` in the hole, bit for bit `outside` elsewhere.

    Args:
        inside: image_...xHxWxC, any dtype.
        outside: image of the same shape and dtype.
        mask: mask_...xHxWx1; 1 is the hole.
    """
    return jnp.where(mask > 0.5, inside, outside)


def blank(image_u8: np.ndarray, mask: np.ndarray, value: int = 0) -> np.ndarray:
    """The image with one grey value in its hole, for those who must not see what it hides.

    Args:
        image_u8: uint8 image_...xHxWx3.
        mask: mask_...xHxWx1; 1 is the hole.
        value: 0 is what completers get; `SHOWN_HOLE` is for pictures.

    Returns:
        uint8 image_...xHxWx3.
    """
    return np.where(mask > 0.5, np.uint8(value), image_u8)


def pad_to_multiple(image_BxHxWxC: jax.Array, multiple: int) -> jax.Array:
    """Repeat the last row and column of image_BxHxWxC until H and W divide by `multiple`."""
    height, width = image_BxHxWxC.shape[1:3]
    # Written so that a symbolic sum of side and padding is seen to divide.
    bottom, right = (
        (length + multiple - 1) // multiple * multiple - length for length in (height, width)
    )
    if bottom == 0 and right == 0:
        return image_BxHxWxC
    return jnp.pad(image_BxHxWxC, ((0, 0), (0, bottom), (0, right), (0, 0)), mode="edge")


def continue_mirrored(image_BxHxWxC: jax.Array, margin: int, multiple: int) -> jax.Array:
    """An image continued by its mirror image on every side, and on to a multiple.

    Args:
        image_BxHxWxC: any dtype.
        margin: pixels of the mirror image on every side, whose outermost repeats the border's
            pixel; more than the image has are the mirror image's mirror image.
        multiple: what the new H and W divide by. The mirror image goes on until they do; without a
            margin the last row and column are repeated.

    Returns:
        The image begins at row and column `margin` of it.
    """
    if not margin:
        return pad_to_multiple(image_BxHxWxC, multiple)
    for axis in (1, 2):  # by places, as H and W may be symbolic
        length = image_BxHxWxC.shape[axis]
        total = (length + 2 * margin + multiple - 1) // multiple * multiple
        turn = jnp.asarray(2 * length)
        place = (jnp.arange(total) - margin) % turn
        image_BxHxWxC = jnp.take(image_BxHxWxC, jnp.minimum(place, turn - 1 - place), axis=axis)
    return image_BxHxWxC


def mirrored_places(start: int, stop: int, length: int, margin: int) -> np.ndarray:
    """Where the pixels `start` to `stop` of a continued axis are read, see `continue_mirrored`.

    Args:
        start: first pixel, of the continued axis.
        stop: behind the last.
        length: of the axis before.
        margin: pixels of the mirror image on every side.

    Returns:
        int array of `stop - start` numbers from 0 to `length - 1`.
    """
    place = np.arange(start, stop)
    place = (place - margin) % (2 * length) if margin else np.clip(place, 0, length - 1)
    return np.minimum(place, 2 * length - 1 - place)


def grid(rows: list[np.ndarray], gap: int = 2) -> np.ndarray:
    """Lay images out as a table.

    Args:
        rows: one uint8 array image_NxHxWx3 for each row, all of one shape.
        gap: white pixels between neighbours.

    Returns:
        One uint8 image of shape (rows*(H+gap)-gap, N*(W+gap)-gap, 3).
    """
    table = np.stack(rows)
    count_r, count_n, height, width, channels = table.shape
    padded = np.full((count_r, count_n, height + gap, width + gap, channels), 255, dtype=np.uint8)
    padded[:, :, :height, :width] = table
    sheet = padded.transpose(0, 2, 1, 3, 4).reshape(
        count_r * (height + gap), count_n * (width + gap), channels
    )
    return sheet[: sheet.shape[0] - gap, : sheet.shape[1] - gap]
