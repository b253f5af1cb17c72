"""Classical fills that need no training, on 8-bit images: what a learned model has to beat.

Every fill maps uint8 `image_BxHxWx3` and float32 0/1 `mask_BxHxWx1` (1 is the hole) to a uint8
image of the same shape. Known pixels are bit for bit the input's, values are rounded to nearest,
and each image's result depends on that image and its mask alone, not on the batch around it. An
image without a hole comes back as it is; one without a known pixel becomes the mean pixel.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Mapping

import cv2
import jax
import jax.numpy as jnp
import numpy as np
from scipy.sparse import SparseEfficiencyWarning
from skimage.restoration import inpaint_biharmonic

from glcic_jax.imaging import fills, values
from glcic_jax.imaging.batches import in_fixed_batches

Completer = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""uint8 image_BxHxWx3, float32 mask_BxHxWx1 -> uint8 image_BxHxWx3."""

_RADIUS = 3.0
_HARMONIC_ROWS = 64


def classical_fills(mean_pixel: np.ndarray) -> Mapping[str, Completer]:
    """The classical methods by name, in the order in which a table lists them.

    Args:
        mean_pixel: float mean_3 in [0, 1], of the training set.
    """
    pixel = np.asarray(mean_pixel, np.float32)
    pixel_u8 = np.asarray(values.to_uint8(jnp.asarray(pixel)))

    def one_by_one(method: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Completer:
        return functools.partial(_each_image, method, pixel_u8)

    return {
        "mean_pixel": one_by_one(lambda image, _: np.broadcast_to(pixel_u8, image.shape)),
        "telea": one_by_one(functools.partial(_opencv, cv2.INPAINT_TELEA)),
        "navier_stokes": one_by_one(functools.partial(_opencv, cv2.INPAINT_NS)),
        "biharmonic": one_by_one(_biharmonic),
        "harmonic": functools.partial(_harmonic, pixel),
    }


# --- Methods ------------------------------------------------------------------------------------


def _each_image(
    method: Callable[[np.ndarray, np.ndarray], np.ndarray],
    pixel_u8: np.ndarray,
    image_BxHxWx3: np.ndarray,
    mask_BxHxWx1: np.ndarray,
) -> np.ndarray:
    """Run `method(image_HxWx3, hole_HxW)` over a batch and put its values into the holes only."""
    completed = np.array(image_BxHxWx3)
    for index, hole in enumerate(mask_BxHxWx1[..., 0] > 0.5):
        if hole.all():
            completed[index] = pixel_u8
        elif hole.any():
            # The methods' whole output is not used: OpenCV may also change known pixels.
            completed[index][hole] = method(image_BxHxWx3[index], hole)[hole]
    return completed


def _opencv(flag: int, image_HxWx3: np.ndarray, hole_HxW: np.ndarray) -> np.ndarray:
    """Fast marching (Telea 2004) or Navier-Stokes (Bertalmio et al. 2001), radius 3 pixels.

    The values under the hole are blanked first, so that no method can read the truth.
    """
    blanked = values.blank(image_HxWx3, hole_HxW[..., None])
    return cv2.inpaint(blanked, hole_HxW.astype(np.uint8), _RADIUS, flag)


def _biharmonic(image_HxWx3: np.ndarray, hole_HxW: np.ndarray) -> np.ndarray:
    """Biharmonic equation in the hole (Damelin & Hoang 2018), limited to the known values."""
    blanked = values.blank(image_HxWx3, hole_HxW[..., None])
    with warnings.catch_warnings():
        # The sparse solver finds its matrix in another format than it likes; the result is right.
        warnings.simplefilter("ignore", SparseEfficiencyWarning)
        surface = inpaint_biharmonic(blanked, hole_HxW, channel_axis=-1)
    return np.round(surface * 255.0).astype(np.uint8)


def _harmonic(
    mean_pixel: np.ndarray, image_BxHxWx3: np.ndarray, mask_BxHxWx1: np.ndarray
) -> np.ndarray:
    """Laplace's equation in the hole, as the completion network's own initial fill."""
    function = functools.partial(_harmonic_rows, mean_pixel)
    return in_fixed_batches(function, _HARMONIC_ROWS, image_BxHxWx3, mask_BxHxWx1)


@jax.jit
def _harmonic_rows(mean_pixel: jax.Array, image_u8: jax.Array, mask: jax.Array) -> jax.Array:
    surface = fills.harmonic_fill(values.to_float(image_u8), mask, mean_pixel)
    return values.composite(values.to_uint8(surface), image_u8, mask)
