"""The forms in which images and masks may be given, and what is wrong with all others.

A network completes RGB. A gray image is completed as one of three equal channels. Of an image with
an alpha channel, pixels of alpha 0 count as missing too, because what colour they have means
nothing; they and all of alpha come back as they were.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from glcic_jax.errors import UserError
from glcic_jax.imaging.values import white

_ROUNDING = 1e-6
"""How far outside [0, 1] a float may lie and still count as a rounding error."""
_OVERSHOOT = 0.4
"""How far outside [0, 1] an image may lie that is still no image from -1 to 1."""
_FORMS = "(H, W) or (H, W, 1) gray, (H, W, 3) RGB, (H, W, 4) RGBA, or a batch (B, H, W, C) of these"


def as_batch(images: Any, masks: Any, name: str = "masks") -> tuple[Any, Any]:
    """Check shapes and dtypes; give both a batch axis and a channel axis.

    Args:
        images: as given.
        masks: as given.
        name: of the argument that is given as masks.

    Returns:
        image_BxHxWxC, C one of 1, 3 and 4, and mask_BxHxWx1; NumPy or JAX arrays as given.

    Raises:
        UserError: shapes that don't fit together, or a dtype that images don't have.
    """
    if not isinstance(images, (np.ndarray, jax.Array)):
        raise UserError(
            f"images is of type {type(images).__name__}; expected a NumPy or JAX array, such as "
            "`numpy.asarray(image)` of a PIL image. fill_photograph takes files and PIL images"
        )
    try:
        masks = masks if isinstance(masks, jax.Array) else np.asarray(masks)
    except ValueError as error:  # of lists of different lengths
        raise UserError(f"{name} is no array of numbers: {error}") from error
    shape, is_batch = images.shape, images.ndim == 4
    images = images[..., None] if images.ndim == 2 else images
    if images.ndim not in (3, 4) or images.shape[-1] not in (1, 3, 4) or 0 in images.shape:
        raise UserError(f"images has shape {shape}; expected {_FORMS}")
    is_integer = images.dtype in (np.uint8, np.uint16)
    if not is_integer and not jnp.issubdtype(images.dtype, jnp.floating):
        raise UserError(
            f"images has dtype {images.dtype}; expected uint8, uint16, or float in [0, 1]"
        )
    if masks.shape == images.shape[:-1]:
        masks = masks[..., None]
    if masks.shape != (*images.shape[:-1], 1):
        raise UserError(
            f"{name} has shape {masks.shape}, images {shape}; "
            f"expected a mask of shape {images.shape[:-1]} or {(*images.shape[:-1], 1)}"
            + _way_to_shape(masks.shape, images.shape[:-1])
        )
    return (images, masks) if is_batch else (images[None], masks[None])


def _way_to_shape(shape: tuple[int, ...], wanted: tuple[int, ...]) -> str:
    """What makes the wanted shape of some that are often given."""
    if shape[:-1] == wanted:
        return ". Of a mask with colours pass one channel, `mask[..., 0]`"
    if shape == wanted[1:]:
        return f". For one mask for all images pass `numpy.broadcast_to(mask, {wanted})`"
    return ""


def check_values(image_BxHxWxC: np.ndarray, mask_BxHxWx1: np.ndarray) -> None:
    """Raise a `UserError` where a mask is not of 0 and 1, hides all, or known pixels are no image.

    Args:
        image_BxHxWxC: as of `as_batch`.
        mask_BxHxWx1: as of `as_batch`; any dtype.
    """
    hole = mask_BxHxWx1 == 1
    if not (hole | (mask_BxHxWx1 == 0)).all():
        raise UserError(_complaint(mask_BxHxWx1, "the mask", "mask", "0 (known) and 1 (hole)"))
    is_unknown = hole[..., 0]
    if image_BxHxWxC.shape[-1] == 4:
        is_unknown = is_unknown | (image_BxHxWxC[..., 3] == 0)
    for number, unknown in enumerate(is_unknown):
        if unknown.all():
            why = (
                "1 everywhere" if hole[number].all() else "1 wherever the image is not transparent"
            )
            raise UserError(
                f"the mask of image {number} is {why}; at least one pixel must be known"
            )
    if white(image_BxHxWxC.dtype) == 1:
        _check_range(image_BxHxWxC, hole[..., 0])


def usable_sources(
    sources: Any, images: Any, image_BxHxWxC: np.ndarray, mask_BxHxWx1: np.ndarray
) -> np.ndarray:
    """Known pixels that texture may be copied from: bool usable_BxHxW.

    Args:
        sources: 1 where it may be copied, in the form of a mask of `images`; None: everywhere.
        images: as given.
        image_BxHxWxC: the same as of `as_batch`.
        mask_BxHxWx1: as of `as_batch`, checked.

    Raises:
        UserError: another shape, values other than 0 and 1, or nothing known is left of an image
            that has a hole.
    """
    usable = ~np.asarray(missing(image_BxHxWxC, mask_BxHxWx1))
    if sources is not None:
        allowed = np.asarray(as_batch(images, sources, "sources")[1])
        if not np.isin(allowed, (0, 1)).all():
            raise UserError(_complaint(allowed, "sources", "sources", "0 and 1 (may be copied)"))
        usable &= allowed[..., 0] == 1
    for number, (some, hole) in enumerate(zip(usable, mask_BxHxWx1, strict=True)):
        if hole.any() and not some.any():
            raise UserError(
                f"the sources of image {number} leave no known pixel to copy texture from; mark "
                "with 1 what may be copied, outside the hole"
            )
    return usable


def _complaint(mask: np.ndarray, what: str, name: str, expected: str) -> str:
    """What is wrong with the values of what is given as a mask."""
    values = np.unique(mask)
    shown = ", ".join(str(value) for value in values[:6]) + (", ..." * (len(values) > 6))
    said = f"{what} has the values {shown}; expected {expected} only"
    if not np.isfinite(values.astype(np.float64)).all():
        return f"{said}. Find out where it got values that are no numbers"
    low, high = values[0], values[-1]
    if low >= 0 and high <= 1:
        # Its middle, where all values lie on one side of a half: else nothing or all were a hole.
        middle = 0.5 if low <= 0.5 < high else (low + high) / (4 if low == high else 2)
        return f"{said}. For a soft mask from 0 to 1 pass `{name} > {middle:.3g}`"
    if low >= 0 and high <= 255:
        # The middle between what is there: 127 of 0 and 255, but 1 of 0 and 2.
        # Of one value alone, half of it: it is the hole everywhere.
        middle = high // 2 if low == high else (high - low) // 2 + low
        return f"{said}. For a mask of these values pass `{name} > {middle}`"
    return f"{said}. Compare it with a threshold of yours, as in `{name} > threshold`"


def _check_range(image_BxHxWxC: np.ndarray, hole_BxHxW: np.ndarray) -> None:
    known = image_BxHxWxC[~hole_BxHxW].astype(np.float64)
    low, high = float(known.min()), float(known.max())
    if low >= -_ROUNDING and high <= 1 + _ROUNDING:
        return
    strange = int((~np.isfinite(known)).sum())
    if strange:
        raise UserError(
            f"{strange:,} known values of float images are no numbers (NaN or infinite). Replace "
            "them, as in `numpy.nan_to_num(image, posinf=1)`, or make them part of the hole"
        )
    said = f"float images must lie in [0, 1]; the known pixels lie in [{low!r}, {high!r}]"
    if low < -1 - _ROUNDING:
        advice = "Scale and shift them so that black is 0 and white is 1"
    elif low < -_OVERSHOOT and high <= 1 + _ROUNDING:
        advice = "For images from -1 to 1 pass `(image + 1) / 2`"
    elif low < -_ROUNDING and high <= 1 + _OVERSHOOT:
        # Resizing and sharpening go a little beyond black and white.
        advice = "Clip them, as in `image.clip(0, 1)`"
    elif high > 2:
        advice = "Divide by 255, or pass uint8" if high <= 255 else "Divide by the value of white"
    else:
        advice = "Clip them, as in `image.clip(0, 1)`"
    raise UserError(f"{said}. {advice}")


def as_rgb(image_BxHxWxC: Any) -> Any:
    """image_BxHxWx3 of any form of `as_batch`, of the same dtype."""
    if image_BxHxWxC.shape[-1] == 1:
        repeat = np.repeat if isinstance(image_BxHxWxC, np.ndarray) else jnp.repeat
        return repeat(image_BxHxWxC, 3, axis=-1)
    return image_BxHxWxC[..., :3]


def missing(image_BxHxWxC: Any, mask_BxHxWx1: Any) -> Any:
    """bool missing_BxHxW: the hole, and whatever is wholly transparent."""
    hole = mask_BxHxWx1[..., 0] != 0
    return hole | (image_BxHxWxC[..., 3] == 0) if image_BxHxWxC.shape[-1] == 4 else hole


def back_to_form(completed_BxHxWx3: Any, image_BxHxWxC: Any, mask_BxHxWx1: Any) -> Any:
    """The completed image in the form of the given one: known pixels and alpha bit for bit its own.

    Args:
        completed_BxHxWx3: RGB, of the image's dtype.
        image_BxHxWxC: as given.
        mask_BxHxWx1: as given.
    """
    numpy = np if isinstance(image_BxHxWxC, np.ndarray) else jnp
    channels = image_BxHxWxC.shape[-1]
    if channels == 1:
        # The three channels are equal but for rounding.
        completed_BxHxWx3 = completed_BxHxWx3[..., 1:2]
    elif channels == 4:
        parts = [completed_BxHxWx3, image_BxHxWxC[..., 3:]]
        completed_BxHxWx3 = numpy.concatenate(parts, axis=-1)
    elif channels == 3 and numpy is np:
        return completed_BxHxWx3  # nothing but the hole was touched
    return numpy.where(mask_BxHxWx1 != 0, completed_BxHxWx3, image_BxHxWxC)
