"""How sure a mean is, over images or over seeds, and whether two methods differ."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

_RESAMPLES = 2000
_BATCH = 100
"""Resamples in memory at once."""


class Interval(NamedTuple):
    """A mean and the ends of its confidence interval."""

    mean: float
    low: float
    high: float


class Paired(NamedTuple):
    """The mean difference of two methods' scores with its interval, and a test of it.

    `p` is the chance of a mean difference at least this far from 0 if it did not matter which score
    belongs to which method (two-sided); it is never less than one in the number of resamples.
    """

    difference: Interval
    p: float


def mean_interval(values_N: np.ndarray, *, seed: int = 0, confidence: float = 0.95) -> Interval:
    """The mean and its percentile bootstrap interval (Efron 1979) from 2,000 resamples of images.

    It covers the choice of images, not what another training run would have given.

    Args:
        values_N: one score for each image, at least one.
        seed: of the resamples; the same seed gives the same interval.
        confidence: share of intervals that hold the true mean.
    """
    values_N = np.asarray(values_N, np.float64)
    mean = float(values_N.mean())
    if np.ptp(values_N) == 0:
        return Interval(mean, mean, mean)
    ends = stats.bootstrap(
        (values_N,),
        np.mean,
        n_resamples=_RESAMPLES,
        batch=_BATCH,
        confidence_level=confidence,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return Interval(mean, float(ends.low), float(ends.high))


def compare(one_N: np.ndarray, other_N: np.ndarray, *, seed: int = 0) -> Paired:
    """Compare two methods' scores of the same images: `one - other`.

    Args:
        one_N: scores of one method.
        other_N: scores of the other, of the same images in the same order.
        seed: of the resamples.

    Raises:
        ValueError: the numbers of scores differ.
    """
    if len(one_N) != len(other_N):
        raise ValueError(f"scores of {len(one_N)} images against those of {len(other_N)}")
    difference_N = np.asarray(one_N, np.float64) - np.asarray(other_N, np.float64)
    interval = mean_interval(difference_N, seed=seed)
    if not difference_N.any():
        return Paired(interval, 1.0)
    # Under the null hypothesis each image's difference is as likely to have the other sign.
    rng = np.random.default_rng(seed)
    extreme = 0
    for _ in range(_RESAMPLES // _BATCH):
        signs = rng.integers(0, 2, (_BATCH, len(difference_N)), np.int8) * 2 - 1
        means = signs @ difference_N / len(difference_N)
        # The same sum in another order may round to a little less, and counts.
        extreme += int(np.sum(np.abs(means) >= abs(interval.mean) * (1 - 1e-9)))
    return Paired(interval, (extreme + 1) / (_RESAMPLES + 1))


def seed_interval(values_S: ArrayLike, *, confidence: float = 0.95) -> Interval:
    """The mean over training runs that differ in their seed, and Student's t interval of it.

    It covers what another seed would have given, not the choice of images.

    Args:
        values_S: one score for each run, at least two.
        confidence: share of intervals that hold the true mean, if the scores are normal.
    """
    values_S = np.asarray(values_S, np.float64)
    mean = float(values_S.mean())
    if np.ptp(values_S) == 0:
        return Interval(mean, mean, mean)
    ends = stats.ttest_1samp(values_S, 0.0).confidence_interval(confidence)
    return Interval(mean, float(ends.low), float(ends.high))


def compare_seeds(one_S: ArrayLike, other_T: ArrayLike, *, confidence: float = 0.95) -> Interval:
    """The difference `one - other` of two means over seeds, and Welch's t interval of it.

    Args:
        one_S: scores of runs that differ in their seed, at least two.
        other_T: scores of others, at least two; the seeds need not be the same.
        confidence: see `seed_interval`.
    """
    one_S, other_T = (np.asarray(values, np.float64) for values in (one_S, other_T))
    mean = float(one_S.mean() - other_T.mean())
    if np.ptp(one_S) == 0 and np.ptp(other_T) == 0:
        return Interval(mean, mean, mean)
    test = stats.ttest_ind(one_S, other_T, equal_var=False)
    ends = test.confidence_interval(confidence)
    return Interval(mean, float(ends.low), float(ends.high))
