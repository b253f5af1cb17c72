"""Scores of completed images: pure float32 functions of batches, one score per image.

Value contract of every function:

- `truth` and `completed` are float32 `image_BxHxWx3` in [0, 1]. Reported scores use the completed
  image (known pixels are the truth's) after rounding to 8 bits, as a saved PNG would hold it.
- `mask` is float32 0/1 `mask_BxHxWx1`; 1 marks the hole. It also is required for `region="whole"`,
  so that all metrics are called alike.
- `region="hole"` takes the values (pixels x channels) inside the hole; `region="whole"` all.
- The result is float32[B], never NaN or infinite for finite input. Where nothing can be compared,
  because the hole is empty, an image scores what a perfect copy scores. Callers who average over
  images should leave such images out or refuse them.

The mean of a metric over a data set is the mean of its per-image values.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Literal, get_args

import dm_pix
import jax
import jax.numpy as jnp

Region = Literal["hole", "whole"]
REGIONS: tuple[Region, ...] = get_args(Region)

Metric = Callable[[jax.Array, jax.Array, jax.Array, Region], jax.Array]

MSE_FLOOR = 1.0 / (12.0 * 255.0**2)
"""Mean squared error of rounding to 8 bits: the truth itself is known no better than this."""
PSNR_CAP = -10.0 * math.log10(MSE_FLOOR)
"""PSNR of a perfect copy, 58.92 dB; higher ratios would measure the truth's own rounding."""
LOG_FLOOR = 1e-7
"""Smallest argument of a logarithm in the cross entropy, as in Keras."""

_WINDOW = 11
_SIGMA = 1.5


# --- Regions ----------------------------------------------------------------------------------


def _sum(value_BxHxWx3: jax.Array, mask: jax.Array, region: Region) -> jax.Array:
    """Sum over the region's values, float32[B]."""
    if region == "hole":
        value_BxHxWx3 = value_BxHxWx3 * mask
    return jnp.sum(value_BxHxWx3, axis=(1, 2, 3))


def _mean(value_BxHxWx3: jax.Array, mask: jax.Array, region: Region, empty: float) -> jax.Array:
    """Mean over the region's values, float32[B]; `empty` for an image without a hole."""
    total = _sum(value_BxHxWx3, mask, region)
    count = _sum(jnp.ones_like(value_BxHxWx3), mask, region)
    return jnp.where(count > 0, total / jnp.maximum(count, 1), empty)


def _ratio(numerator: jax.Array, denominator: jax.Array) -> jax.Array:
    """Quotient of two overlaps; 1, full agreement, where both images are black or absent."""
    positive = denominator > 0
    return jnp.where(positive, numerator / jnp.where(positive, denominator, 1), 1.0)


# --- Errors -----------------------------------------------------------------------------------


def l1(truth: jax.Array, completed: jax.Array, mask: jax.Array, region: Region) -> jax.Array:
    """Mean absolute error, float32[B] in [0, 1]; 0 for a perfect copy."""
    return _mean(jnp.abs(truth - completed), mask, region, empty=0.0)


def mse(truth: jax.Array, completed: jax.Array, mask: jax.Array, region: Region) -> jax.Array:
    """Mean squared error, float32[B] in [0, 1]; 0 for a perfect copy."""
    return _mean((truth - completed) ** 2, mask, region, empty=0.0)


def l2_millions(
    truth: jax.Array, completed: jax.Array, mask: jax.Array, region: Region
) -> jax.Array:
    """Sum of squared differences on the 0..255 scale, in millions; float32[B], >= 0.

    It grows with the region's size. Hole and whole image agree where known pixels are kept.
    """
    return _sum((truth - completed) ** 2, mask, region) * (255.0**2 / 1e6)


def psnr(truth: jax.Array, completed: jax.Array, mask: jax.Array, region: Region) -> jax.Array:
    """Peak signal-to-noise ratio for peak 1 in dB, float32[B] in [0, `PSNR_CAP`].

    The error is floored at `MSE_FLOOR`, so that a perfect copy, whose ratio is infinite, counts
    as `PSNR_CAP` in a mean.
    """
    error = mse(truth, completed, mask, region)
    return -10.0 * jnp.log10(jnp.maximum(error, MSE_FLOOR))


# --- Structural similarity ----------------------------------------------------------------------


def ssim(truth: jax.Array, completed: jax.Array, mask: jax.Array, region: Region) -> jax.Array:
    """Structural similarity, float32[B] in [-1, 1]; 1 for a perfect copy.

    Gaussian window of 11 x 11 with standard deviation 1.5, weighted covariances, data range 1,
    each channel by itself. `whole` is the mean over windows that lie inside the image (over all
    windows where a side is shorter than 11 pixels). `hole` is the mean over windows centred in
    the hole, with symmetric padding at the image's border.

    Wang, Bovik, Sheikh and Simoncelli, "Image quality assessment: from error visibility to
    structural similarity", IEEE Transactions on Image Processing 13(4), 2004.
    """
    similarity = dm_pix.ssim(
        truth, completed, max_val=1.0, return_map=True, filter_fn=_gaussian_blur
    )
    if region == "whole" and min(truth.shape[1:3]) >= _WINDOW:
        border = _WINDOW // 2
        return jnp.mean(similarity[:, border:-border, border:-border], axis=(1, 2, 3))
    return _mean(similarity, mask, region, empty=1.0)


def _gaussian_blur(image_BxHxWxC: jax.Array) -> jax.Array:
    """Gaussian window mean around every pixel with symmetric padding, same shape.

    A sum of shifted images rather than a convolution: its order of additions, and so every bit
    of a score, is the same on any number of threads.
    """
    half = _WINDOW // 2
    weights = [math.exp(-0.5 * ((k - half) / _SIGMA) ** 2) for k in range(_WINDOW)]
    total = sum(weights)
    blurred = image_BxHxWxC
    for axis in (1, 2):
        padding = [(half, half) if axis == other else (0, 0) for other in range(4)]
        padded = jnp.pad(blurred, padding, mode="symmetric")
        # Without the barriers XLA fuses both passes and computes 121 products in place of 22.
        padded = jax.lax.optimization_barrier(padded)
        parts = [
            weight / total * jax.lax.slice_in_dim(padded, k, k + blurred.shape[axis], axis=axis)
            for k, weight in enumerate(weights)
        ]
        blurred = jax.lax.optimization_barrier(sum(parts[1:], parts[0]))
    return blurred


# --- Overlap ------------------------------------------------------------------------------------


def dice(truth: jax.Array, completed: jax.Array, mask: jax.Array, region: Region) -> jax.Array:
    """Dice coefficient of grey values, `2 Sxy / (Sxx + Syy)`; float32[B] in [0, 1].

    1 for a perfect copy, which the variant with plain sums (`keras_dice`) is not.
    """
    cross = _sum(truth * completed, mask, region)
    squares = _sum(truth**2 + completed**2, mask, region)
    return _ratio(2.0 * cross, squares)


def keras_dice(
    truth: jax.Array, completed: jax.Array, mask: jax.Array, region: Region
) -> jax.Array:
    """Dice as Keras examples write it, `2 Sxy / (Sx + Sy)`, unsmoothed; float32[B] in [0, 1].

    Meant for binary masks. On grey values a perfect copy only scores `keras_dice_ceiling`.
    """
    cross = _sum(truth * completed, mask, region)
    return _ratio(2.0 * cross, _sum(truth + completed, mask, region))


def keras_dice_ceiling(
    truth: jax.Array, completed: jax.Array, mask: jax.Array, region: Region
) -> jax.Array:
    """`keras_dice` of a perfect copy, `Sxx / Sx`; float32[B] in [0, 1]."""
    del completed
    return keras_dice(truth, truth, mask, region)


def iou(truth: jax.Array, completed: jax.Array, mask: jax.Array, region: Region) -> jax.Array:
    """Intersection over union of grey values, `Sxy / (Sxx + Syy - Sxy)`; float32[B] in [0, 1].

    1 for a perfect copy.
    """
    cross = _sum(truth * completed, mask, region)
    squares = _sum(truth**2 + completed**2, mask, region)
    return _ratio(cross, squares - cross)


# --- Cross entropy ------------------------------------------------------------------------------


def cross_entropy(
    truth: jax.Array, completed: jax.Array, mask: jax.Array, region: Region
) -> jax.Array:
    """Mean binary cross entropy `-x log y - (1-x) log(1-y)` in nats; float32[B], >= 0.

    Arguments of the logarithms are floored at `LOG_FLOOR`. A perfect copy scores
    `cross_entropy_floor`, not 0.
    """
    log_one = jnp.log(jnp.maximum(completed, LOG_FLOOR))
    log_zero = jnp.log(jnp.maximum(1.0 - completed, LOG_FLOOR))
    return _mean(-truth * log_one - (1.0 - truth) * log_zero, mask, region, empty=0.0)


def cross_entropy_floor(
    truth: jax.Array, completed: jax.Array, mask: jax.Array, region: Region
) -> jax.Array:
    """`cross_entropy` of a perfect copy, the truth's own entropy; float32[B] in [0, log 2]."""
    del completed
    return cross_entropy(truth, truth, mask, region)


METRICS: Mapping[str, Metric] = {
    "psnr": psnr,
    "ssim": ssim,
    "l1": l1,
    "mse": mse,
    "l2_millions": l2_millions,
    "dice": dice,
    "keras_dice": keras_dice,
    "keras_dice_ceiling": keras_dice_ceiling,
    "iou": iou,
    "cross_entropy": cross_entropy,
    "cross_entropy_floor": cross_entropy_floor,
}


def per_image(
    truth: jax.Array, completed: jax.Array, mask: jax.Array
) -> dict[Region, dict[str, jax.Array]]:
    """Every metric over both regions: region -> metric -> float32[B].

    Raises:
        ValueError: the shapes do not belong together.
    """
    if truth.ndim != 4 or truth.shape != completed.shape or mask.shape != (*truth.shape[:3], 1):
        raise ValueError(
            "expected image_BxHxWx3 twice and mask_BxHxWx1; "
            f"got {truth.shape}, {completed.shape} and {mask.shape}"
        )
    return {
        region: {name: metric(truth, completed, mask, region) for name, metric in METRICS.items()}
        for region in REGIONS
    }
