"""Use a trained generator: load one, and fill holes in images of any size.

generator, variables = load_generator("runs/x")
completed = inpaint_fn(generator, variables, image, mask)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeVar, cast

import jax
import jax.numpy as jnp
import numpy as np

from glcic_jax.errors import UserError
from glcic_jax.imaging.values import from_unit, to_unit
from glcic_jax.inpainting import photographs
from glcic_jax.inpainting.coarse_to_fine import complete
from glcic_jax.inpainting.image_forms import (
    as_batch,
    as_rgb,
    back_to_form,
    check_values,
    missing,
    usable_sources,
)
from glcic_jax.inpainting.prepared import prepare
from glcic_jax.inpainting.texture.photograph import LEAST_DEPTH, add_texture
from glcic_jax.networks.interface import Generator
from glcic_jax.runtime import devices

_LEAST_DEPTH_IF_ASKED = 2
"""Depth in pixels of the shallowest hole that gets texture where all shall have it."""

Array = TypeVar("Array", np.ndarray, jax.Array)


def inpaint_fn(
    generator: Generator,
    variables: Any,
    images: Array,
    masks: Any,
    *,
    blend: bool = False,
    texture: bool | Literal["auto"] = False,
    sources: Any = None,
) -> Array:
    """Fill the holes of one image or a batch, computing only what the holes can see.

    Programs are compiled for windows of a few sizes, which images of all sizes share. Inside your
    own `jax.jit` (with `generator` static) the masks are unknown: there the whole image is
    computed, once compiled for each shape, and the values of the masks can't be checked.

    Args:
        generator: as `load_generator` returns it.
        variables: as `load_generator` returns them.
        images: gray (H, W) or (H, W, 1), RGB (H, W, 3) or RGBA (H, W, 4), any H and W; or a batch
            of images of one size, (B, H, W, C). uint8, uint16, or float in [0, 1] (or 1e-6
            outside: rounding errors). A gray image is filled with gray. Alpha stays as it is,
            in the hole too; colours where alpha is 0 are not read.
        masks: 1 is the hole, 0 is known: (H, W) or (H, W, 1) for one image, with a leading B for
            a batch. bool, integer or float.
        blend: add the harmonic surface through what the fill lacks at the hole's rim, so that no
            seam is left (Poisson blending, see `blending.py`). For generators that start from the
            mean pixel; those that start from a smooth fill meet the rim by themselves.
        texture: give the fill the texture of its surroundings, see `texture/`; "auto": where holes
            are wider than 24 pixels.
        sources: where texture may be copied from, in the form of `masks`; None: from everywhere
            around a hole.

    Returns:
        The completed images: shape and dtype as given, every known pixel bit for bit; NumPy for
        NumPy images, otherwise JAX.

    Raises:
        UserError: no generator or variables in their place; `blend` inside `jit` or with a context
            encoder, `texture` inside `jit`; shapes that don't fit together, a dtype or values
            outside the contract, a mask that is not of 0 and 1 or leaves no pixel known, `sources`
            that leave none; another size than a context encoder's; a fork after JAX was used.
    """
    devices.refuse_after_fork()
    _check_model(generator, variables)
    images_4d, masks_4d = as_batch(images, masks)
    _check_size(generator, images_4d.shape)
    is_traced = isinstance(images, jax.core.Tracer) or isinstance(masks, jax.core.Tracer)
    _check_options(generator, blend=blend, texture=texture, is_traced=is_traced)
    if is_traced:
        whole = _inpaint_whole(generator, variables, jnp.asarray(images_4d), jnp.asarray(masks_4d))
        return cast(Array, whole.reshape(images.shape))
    given, mask = np.asarray(images_4d), np.asarray(masks_4d)
    check_values(given, mask)
    usable = usable_sources(sources, images, given, mask) if texture else None
    filled, unknown = _fill(generator, variables, given, mask, blends=blend)
    if usable is not None:
        filled = add_texture(filled, mask[..., 0] != 0, unknown, usable, _least_depth(texture))
    completed = back_to_form(filled, given, mask).reshape(images.shape)
    return cast(Array, completed if isinstance(images, np.ndarray) else jnp.asarray(completed))


def _check_model(generator: Any, variables: Any) -> None:
    if not hasattr(generator, "layers") or not isinstance(variables, Mapping):
        raise UserError(
            "inpaint_fn takes a generator and its variables, as load_generator returns them, then "
            f"the image and the mask; got {type(generator).__name__} and "
            f"{type(variables).__name__} for the first two"
        )


def _check_options(
    generator: Generator, *, blend: bool, texture: bool | Literal["auto"], is_traced: bool
) -> None:
    is_auto = isinstance(texture, str) and texture == "auto"
    if not (isinstance(texture, (bool, np.bool_)) or is_auto):
        raise UserError(f'texture is {texture!r}; expected True, False or "auto"')
    if blend and (is_traced or generator.layers() is None):
        raise UserError(
            "a fill can't be blended inside jit, or if a context encoder made it; leave blend out"
        )
    if texture and is_traced:
        raise UserError("texture can't be added inside jit, where masks are unknown; leave it out")


def _least_depth(texture: bool | Literal["auto"]) -> int:
    return LEAST_DEPTH if texture == "auto" else _LEAST_DEPTH_IF_ASKED


def _fill(
    generator: Generator, variables: Any, given: np.ndarray, mask: np.ndarray, *, blends: bool
) -> tuple[np.ndarray, np.ndarray]:
    """image_BxHxWxC in any form and mask_BxHxWx1, checked -> image_BxHxWx3 with all that is missing
    filled, and bool missing_BxHxW; in images without a hole nothing is."""
    has_hole_B = np.any(mask, axis=(1, 2, 3))
    unknown = missing(given, mask) & np.reshape(has_hole_B, (-1, 1, 1))
    rgb = as_rgb(given)
    if not has_hole_B.any():
        return rgb.copy(), unknown
    if generator.layers() is None:
        return as_rgb(np.asarray(_inpaint_compiled(generator, variables, given, mask))), unknown
    prepared = prepare(generator, variables, blends=blends)
    return photographs.fill_holes(prepared, rgb, unknown), unknown


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
    """images_BxHxWxC of the caller's dtype, masks_BxHxWx1 of any -> images of the same dtype."""
    mask = missing(images, masks)[..., None].astype(jnp.float32)
    rgb = to_unit(as_rgb(images))
    _, completed = complete(generator, variables, rgb, mask)
    return back_to_form(from_unit(completed, images.dtype), images, masks)


_inpaint_compiled = devices.jit(_inpaint_whole, static_argnums=0)
