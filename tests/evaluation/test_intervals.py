"""Intervals that hold the truth as often as they say, and a test that knows noise from effect."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from glcic_jax.evaluation.intervals import compare, compare_seeds, mean_interval, seed_interval


def test_intervals_hold_the_true_mean_as_often_as_they_say():
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(60):
        _, low, high = mean_interval(rng.exponential(size=80), confidence=0.8)
        held += low <= 1.0 <= high
    assert 38 <= held <= 57  # 48 expected, standard deviation 3


def test_the_interval_is_that_of_the_normal_theory_for_many_images():
    values = np.random.default_rng(1).normal(3.0, 2.0, 5000)
    mean, low, high = mean_interval(values)
    half = 1.96 * values.std() / np.sqrt(len(values))
    np.testing.assert_allclose([low, high], [mean - half, mean + half], atol=0.1 * half)


def test_a_constant_has_no_width():
    assert mean_interval(np.full(5, 2.0)) == (2.0, 2.0, 2.0)
    assert mean_interval(np.array([7.0])) == (7.0, 7.0, 7.0)


def test_pairing_sees_a_small_difference_under_large_variation():
    rng = np.random.default_rng(2)
    image = rng.normal(0, 10, 400)
    one, other = image + 0.2 + rng.normal(0, 1, 400), image + rng.normal(0, 1, 400)
    paired = compare(one, other)
    assert paired.p < 0.05
    assert paired.difference.low > 0
    assert compare(other, one).difference.mean == -paired.difference.mean


def test_equal_methods_are_not_told_apart():
    rng = np.random.default_rng(3)
    small = [compare(*rng.normal(size=(2, 100)), seed=i).p < 0.1 for i in range(40)]
    assert sum(small) <= 10  # 4 expected
    scores = rng.normal(size=50)
    assert compare(scores, scores).p == 1.0


def test_few_images_have_their_exact_p():
    """Five differences of one sign: 2 of the 32 ways to flip them come as far, whatever the sums
    round to."""
    rng = np.random.default_rng(4)
    p = [compare(rng.uniform(0.1, 2.0, 5), np.zeros(5)).p for _ in range(20)]
    np.testing.assert_allclose(p, 2 / 32, atol=0.03)


def test_other_numbers_of_images_are_refused():
    with pytest.raises(ValueError, match="3 images against those of 4"):
        compare(np.zeros(3), np.zeros(4))


def test_intervals_over_seeds_by_hand():
    """Variance 1 with 3 runs; and 1 against 13, whose 2.306 degrees of freedom are Welch's."""
    half = 4.3027 / np.sqrt(3)
    np.testing.assert_allclose(seed_interval([1, 2, 3]), (2, 2 - half, 2 + half), rtol=1e-4)
    freedom = (14 / 3) ** 2 / ((1 / 3) ** 2 / 2 + (13 / 3) ** 2 / 2)
    half = stats.t.ppf(0.975, freedom) * np.sqrt(14 / 3)
    got = compare_seeds([9, 2, 4], [1, 2, 3])
    np.testing.assert_allclose(got, (3, 3 - half, 3 + half), rtol=1e-6)


def test_equal_runs_have_no_width():
    assert seed_interval([2.5, 2.5]) == (2.5, 2.5, 2.5)
    assert compare_seeds([2.5, 2.5], [2.0, 2.0]) == (0.5, 0.5, 0.5)
