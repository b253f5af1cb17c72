"""Scores of completed images: pure float32 functions of batches, one score per image.

Value contract of every function:

- `truth_BxHxWx3` and `completed_BxHxWx3` are float32 images in [0, 1]. Reported scores use the
  completed image (known pixels are the truth's) after rounding to 8 bits, as a saved PNG would
  hold it.
- `mask_BxHxWx1` is float32 0/1; 1 marks the hole. It also is required for `region="whole"`, so that
  all metrics are called alike.
- `region="hole"` takes the values (pixels x channels) inside the hole; `region="whole"` all.
- The result is float32[B], never NaN or infinite for finite input. Where nothing can be compared,
  because the hole is empty, an image scores what a perfect copy scores. Callers who average over
  images should leave such images out or refuse them.

The mean of a metric over a data set is the mean of its per-image values.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping
from typing import Literal, get_args

import dm_pix
import jax
import jax.numpy as jnp

from glcic_jax.imaging.blur import gaussian_blur

Region = Literal["hole", "whole"]
REGIONS: tuple[Region, ...] = get_args(Region)

MetricFunction = Callable[[jax.Array, jax.Array, jax.Array, Region], jax.Array]

MSE_FLOOR = 1.0 / (12.0 * 255.0**2)
"""Mean squared error of rounding to 8 bits: the truth itself is known no better than this."""
PSNR_CAP = -10.0 * math.log10(MSE_FLOOR)
"""PSNR of a perfect copy, 58.92 dB; higher ratios would measure the truth's own rounding."""
LOG_FLOOR = 1e-7
"""Smallest argument of a logarithm in the cross entropy, as in Keras."""

_WINDOW = 11
_SIGMA = 1.5


# --- Regions ----------------------------------------------------------------------------------


def _sum(value_BxHxWx3: jax.Array, mask_BxHxWx1: jax.Array, region: Region) -> jax.Array:
    """Sum over the region's values, float32[B]."""
    if region == "hole":
        value_BxHxWx3 = value_BxHxWx3 * mask_BxHxWx1
    return jnp.sum(value_BxHxWx3, axis=(1, 2, 3))


def _mean(
    value_BxHxWx3: jax.Array, mask_BxHxWx1: jax.Array, region: Region, empty: float
) -> jax.Array:
    """Mean over the region's values, float32[B]; `empty` for an image without a hole."""
    total = _sum(value_BxHxWx3, mask_BxHxWx1, region)
    count = _sum(jnp.ones_like(value_BxHxWx3), mask_BxHxWx1, region)
    return jnp.where(count > 0, total / jnp.maximum(count, 1), empty)


def _ratio(numerator: jax.Array, denominator: jax.Array) -> jax.Array:
    """Quotient of two overlaps; 1, full agreement, where both images are black or absent."""
    positive = denominator > 0
    return jnp.where(positive, numerator / jnp.where(positive, denominator, 1), 1.0)


# --- Errors -----------------------------------------------------------------------------------


def l1(
    truth_BxHxWx3: jax.Array, completed_BxHxWx3: jax.Array, mask_BxHxWx1: jax.Array, region: Region
) -> jax.Array:
    """Mean absolute error, float32[B] in [0, 1]; 0 for a perfect copy."""
    return _mean(jnp.abs(truth_BxHxWx3 - completed_BxHxWx3), mask_BxHxWx1, region, empty=0.0)


def mse(
    truth_BxHxWx3: jax.Array, completed_BxHxWx3: jax.Array, mask_BxHxWx1: jax.Array, region: Region
) -> jax.Array:
    """Mean squared error, float32[B] in [0, 1]; 0 for a perfect copy."""
    return _mean((truth_BxHxWx3 - completed_BxHxWx3) ** 2, mask_BxHxWx1, region, empty=0.0)


def l2_millions(
    truth_BxHxWx3: jax.Array, completed_BxHxWx3: jax.Array, mask_BxHxWx1: jax.Array, region: Region
) -> jax.Array:
    """Sum of squared differences on the 0..255 scale, in millions; float32[B], >= 0.

    It grows with the region's size. Hole and whole image agree where known pixels are kept.
    """
    return _sum((truth_BxHxWx3 - completed_BxHxWx3) ** 2, mask_BxHxWx1, region) * (255.0**2 / 1e6)


def psnr(
    truth_BxHxWx3: jax.Array, completed_BxHxWx3: jax.Array, mask_BxHxWx1: jax.Array, region: Region
) -> jax.Array:
    """Peak signal-to-noise ratio for peak 1 in dB, float32[B] in [0, `PSNR_CAP`].

    The error is floored at `MSE_FLOOR`, so that a perfect copy, whose ratio is infinite, counts
    as `PSNR_CAP` in a mean.
    """
    error = mse(truth_BxHxWx3, completed_BxHxWx3, mask_BxHxWx1, region)
    return -10.0 * jnp.log10(jnp.maximum(error, MSE_FLOOR))


# --- Structural similarity ----------------------------------------------------------------------


def ssim(
    truth_BxHxWx3: jax.Array, completed_BxHxWx3: jax.Array, mask_BxHxWx1: jax.Array, region: Region
) -> jax.Array:
    """Structural similarity, float32[B] in [-1, 1]; 1 for a perfect copy.

    Gaussian window of 11 x 11 with standard deviation 1.5, weighted covariances, data range 1,
    each channel by itself. `whole` is the mean over windows that lie inside the image (over all
    windows where a side is shorter than 11 pixels). `hole` is the mean over windows centred in
    the hole, with symmetric padding at the image's border.

    Wang, Bovik, Sheikh and Simoncelli, "Image quality assessment: from error visibility to
    structural similarity", IEEE Transactions on Image Processing 13(4), 2004.
    """
    similarity = dm_pix.ssim(
        truth_BxHxWx3,
        completed_BxHxWx3,
        max_val=1.0,
        return_map=True,
        filter_fn=functools.partial(gaussian_blur, sigma=_SIGMA, radius=_WINDOW // 2),
    )
    if region == "whole" and min(truth_BxHxWx3.shape[1:3]) >= _WINDOW:
        border = _WINDOW // 2
        return jnp.mean(similarity[:, border:-border, border:-border], axis=(1, 2, 3))
    return _mean(similarity, mask_BxHxWx1, region, empty=1.0)


# --- Overlap ------------------------------------------------------------------------------------


def dice(
    truth_BxHxWx3: jax.Array, completed_BxHxWx3: jax.Array, mask_BxHxWx1: jax.Array, region: Region
) -> jax.Array:
    """Dice coefficient of grey values, `2 Sxy / (Sxx + Syy)`; float32[B] in [0, 1].

    1 for a perfect copy, which the variant with plain sums (`keras_dice`) is not.
    """
    cross = _sum(truth_BxHxWx3 * completed_BxHxWx3, mask_BxHxWx1, region)
    squares = _sum(truth_BxHxWx3**2 + completed_BxHxWx3**2, mask_BxHxWx1, region)
    return _ratio(2.0 * cross, squares)


def keras_dice(
    truth_BxHxWx3: jax.Array, completed_BxHxWx3: jax.Array, mask_BxHxWx1: jax.Array, region: Region
) -> jax.Array:
    """Dice as Keras examples write it, `2 Sxy / (Sx + Sy)`, unsmoothed; float32[B] in [0, 1].

    Meant for binary masks. On grey values a perfect copy only scores `keras_dice_ceiling`.
    """
    cross = _sum(truth_BxHxWx3 * completed_BxHxWx3, mask_BxHxWx1, region)
    return _ratio(2.0 * cross, _sum(truth_BxHxWx3 + completed_BxHxWx3, mask_BxHxWx1, region))


def keras_dice_ceiling(
    truth_BxHxWx3: jax.Array, completed_BxHxWx3: jax.Array, mask_BxHxWx1: jax.Array, region: Region
) -> jax.Array:
    """`keras_dice` of a perfect copy, `Sxx / Sx`; float32[B] in [0, 1]."""
    del completed_BxHxWx3
    return keras_dice(truth_BxHxWx3, truth_BxHxWx3, mask_BxHxWx1, region)


def iou(
    truth_BxHxWx3: jax.Array, completed_BxHxWx3: jax.Array, mask_BxHxWx1: jax.Array, region: Region
) -> jax.Array:
    """Intersection over union of grey values, `Sxy / (Sxx + Syy - Sxy)`; float32[B] in [0, 1].

    1 for a perfect copy.
    """
    cross = _sum(truth_BxHxWx3 * completed_BxHxWx3, mask_BxHxWx1, region)
    squares = _sum(truth_BxHxWx3**2 + completed_BxHxWx3**2, mask_BxHxWx1, region)
    return _ratio(cross, squares - cross)


# --- Cross entropy ------------------------------------------------------------------------------


def cross_entropy(
    truth_BxHxWx3: jax.Array, completed_BxHxWx3: jax.Array, mask_BxHxWx1: jax.Array, region: Region
) -> jax.Array:
    """Mean binary cross entropy `-x log y - (1-x) log(1-y)` in nats; float32[B], >= 0.

    Arguments of the logarithms are floored at `LOG_FLOOR`. A perfect copy scores
    `cross_entropy_floor`, not 0.
    """
    log_one = jnp.log(jnp.maximum(completed_BxHxWx3, LOG_FLOOR))
    log_zero = jnp.log(jnp.maximum(1.0 - completed_BxHxWx3, LOG_FLOOR))
    return _mean(
        -truth_BxHxWx3 * log_one - (1.0 - truth_BxHxWx3) * log_zero, mask_BxHxWx1, region, empty=0.0
    )


def cross_entropy_floor(
    truth_BxHxWx3: jax.Array, completed_BxHxWx3: jax.Array, mask_BxHxWx1: jax.Array, region: Region
) -> jax.Array:
    """`cross_entropy` of a perfect copy, the truth's own entropy; float32[B] in [0, log 2]."""
    del completed_BxHxWx3
    return cross_entropy(truth_BxHxWx3, truth_BxHxWx3, mask_BxHxWx1, region)


# --- All of them --------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Metric:
    """A metric, and what a table has to know of it."""

    function: MetricFunction
    title: str
    digits: int
    """Decimals that tell methods apart."""
    higher_is_better: bool = True
    is_bound: bool = False
    """Whether it is what a perfect copy scores in another metric: it says nothing of a method, so
    it has no column of its own in a table."""


METRICS: Mapping[str, Metric] = {
    "psnr": Metric(psnr, "PSNR dB", 2),
    "ssim": Metric(ssim, "SSIM", 3),
    "l1": Metric(l1, "L1", 4, higher_is_better=False),
    "mse": Metric(mse, "MSE", 5, higher_is_better=False),
    "l2_millions": Metric(l2_millions, "L2 millions", 3, higher_is_better=False),
    "dice": Metric(dice, "Dice", 4),
    "keras_dice": Metric(keras_dice, "Keras Dice", 3),
    "keras_dice_ceiling": Metric(keras_dice_ceiling, "Keras Dice's ceiling", 3, is_bound=True),
    "iou": Metric(iou, "IoU", 4),
    "cross_entropy": Metric(cross_entropy, "cross entropy", 3, higher_is_better=False),
    "cross_entropy_floor": Metric(
        cross_entropy_floor, "cross entropy's floor", 3, higher_is_better=False, is_bound=True
    ),
}
"""Every metric by the name that it has in results.json."""


def per_image(
    truth_BxHxWx3: jax.Array, completed_BxHxWx3: jax.Array, mask_BxHxWx1: jax.Array
) -> dict[Region, dict[str, jax.Array]]:
    """Every metric over both regions: region -> metric -> float32[B].

    Raises:
        ValueError: the shapes do not belong together.
    """
    if (
        truth_BxHxWx3.ndim != 4
        or truth_BxHxWx3.shape != completed_BxHxWx3.shape
        or mask_BxHxWx1.shape != (*truth_BxHxWx3.shape[:3], 1)
    ):
        raise ValueError(
            "expected image_BxHxWx3 twice and mask_BxHxWx1; "
            f"got {truth_BxHxWx3.shape}, {completed_BxHxWx3.shape} and {mask_BxHxWx1.shape}"
        )
    return {
        region: {
            name: metric.function(truth_BxHxWx3, completed_BxHxWx3, mask_BxHxWx1, region)
            for name, metric in METRICS.items()
        }
        for region in REGIONS
    }
