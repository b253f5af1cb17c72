"""Use a trained generator: load one, and fill holes in images of any size.

generator, variables = load_generator("runs/x")
completed = inpaint_fn(generator, variables, image, mask)
"""

from __future__ import annotations

from typing import Any, TypeVar, cast

import jax
import jax.numpy as jnp
import numpy as np

from glcic_jax.errors import UserError
from glcic_jax.imaging.values import composite, to_uint8, to_unit
from glcic_jax.inpainting import photographs
from glcic_jax.inpainting.coarse_to_fine import complete
from glcic_jax.inpainting.prepared import prepare
from glcic_jax.networks.interface import Generator
from glcic_jax.runtime import devices

Array = TypeVar("Array", np.ndarray, jax.Array)


def inpaint_fn(generator: Generator, variables: Any, images: Array, masks: Any) -> Array:
    """Fill the holes of one image or a batch, computing only what the holes can see.

    The cost is that of the holes, not of the image. Programs are compiled for sizes rounded up to a
    few, so images of many sizes share them. Inside your own `jax.jit` (with `generator` static) the
    masks are unknown: there the whole image is computed, once compiled for each shape, and the
    values of the masks can't be checked.

    Args:
        generator: as `load_generator` returns it.
        variables: as `load_generator` returns them.
        images: RGB, (H, W, 3) or (B, H, W, 3), any H and W. uint8, or float in [0, 1].
        masks: 1 is the hole, 0 is known: (H, W) or (H, W, 1) for one image, with a leading B for
            a batch. bool, integer or float.

    Returns:
        The completed images: shape and dtype as given, every known pixel bit for bit. A NumPy
        array for NumPy images, otherwise a JAX array. An image with an empty mask comes back as
        it is.

    Raises:
        UserError: shapes that don't fit together, a dtype or values outside the contract, a mask
            with values other than 0 and 1, or one that leaves no pixel of an image known; a size
            that a context encoder was not trained for.
    """
    images_4d, masks_4d = _as_batch(images, masks)
    _check_size(generator, images_4d.shape)
    if isinstance(images, jax.core.Tracer) or isinstance(masks, jax.core.Tracer):
        whole = _inpaint_whole(generator, variables, jnp.asarray(images_4d), masks_4d)
        return cast(Array, whole.reshape(images.shape))
    known, holes = np.asarray(images_4d), np.asarray(masks_4d)
    _check_values(known, holes)
    if generator.layers() is None:
        whole = _inpaint_compiled(generator, variables, known, holes).reshape(images.shape)
        return cast(Array, np.asarray(whole) if isinstance(images, np.ndarray) else whole)
    prepared = prepare(generator, variables)
    completed = photographs.fill_holes(prepared, known, holes[..., 0] != 0).reshape(images.shape)
    return completed if isinstance(images, np.ndarray) else jnp.asarray(completed)


def _check_size(generator: Generator, shape: tuple[int, ...]) -> None:
    side = generator.image_size
    if side is not None and shape[1:3] != (side, side):
        raise UserError(
            f"this context encoder completes images of {side} x {side} pixels only; got "
            f"{shape[1]} x {shape[2]}. Cut or scale the image, or train another generator, which "
            "completes any size"
        )


def _inpaint_whole(
    generator: Generator, variables: Any, images: jax.Array, masks: Any
) -> jax.Array:
    """images_BxHxWx3 of the caller's dtype, masks_BxHxWx1 of any -> images of the same dtype."""
    mask = (masks != 0).astype(jnp.float32)
    _, completed = complete(generator, variables, to_unit(images), mask)
    is_bytes = images.dtype == jnp.uint8
    filled = to_uint8(completed) if is_bytes else completed.astype(images.dtype)
    return composite(filled, images, mask)


_inpaint_compiled = devices.jit(_inpaint_whole, static_argnums=0)


def _as_batch(images: Any, masks: Any) -> tuple[Any, Any]:
    """Check shapes and dtypes; give both a batch axis and the mask a channel."""
    if not isinstance(images, (np.ndarray, jax.Array)):
        raise UserError(f"images is a {type(images).__name__}; expected a NumPy or JAX array")
    masks = masks if isinstance(masks, jax.Array) else np.asarray(masks)
    if images.ndim not in (3, 4) or images.shape[-1] != 3 or 0 in images.shape:
        raise UserError(
            f"images has shape {images.shape}; expected RGB of shape (H, W, 3) or (B, H, W, 3)"
        )
    if images.dtype != np.uint8 and not jnp.issubdtype(images.dtype, jnp.floating):
        raise UserError(f"images has dtype {images.dtype}; expected uint8, or float in [0, 1]")
    if masks.shape == images.shape[:-1]:
        masks = masks[..., None]
    if masks.shape != (*images.shape[:-1], 1):
        raise UserError(
            f"masks has shape {masks.shape}, images {images.shape}; "
            f"expected a mask of shape {images.shape[:-1]} or {(*images.shape[:-1], 1)}"
        )
    if images.ndim == 3:
        return images[None], masks[None]
    return images, masks


def _check_values(images_BxHxWx3: Any, masks_BxHxWx1: Any) -> None:
    values = np.unique(np.asarray(masks_BxHxWx1))
    if not np.isin(values, (0, 1)).all():
        shown = ", ".join(str(value) for value in values[:6]) + (", ..." * (len(values) > 6))
        raise UserError(
            f"the mask has the values {shown}; expected 0 (known) and 1 (hole) only. "
            "For a 0/255 mask pass `mask > 127`"
        )
    known_B = np.any(np.asarray(masks_BxHxWx1) == 0, axis=(1, 2, 3))
    if not known_B.all():
        raise UserError(
            f"the mask of image {int(np.argmin(known_B))} is 1 everywhere; "
            "at least one pixel must be known"
        )
    if images_BxHxWx3.dtype != np.uint8:
        known = np.asarray(images_BxHxWx3)[np.asarray(masks_BxHxWx1)[..., 0] == 0]
        low, high = float(known.min()), float(known.max())
        if not (low >= 0.0 and high <= 1.0):
            raise UserError(
                f"float images must lie in [0, 1]; the known pixels lie in [{low:g}, {high:g}]. "
                "Divide by 255, or pass uint8"
            )
