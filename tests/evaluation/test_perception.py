"""What a classifier makes of completed images, and the distance of features."""

from __future__ import annotations

import numpy as np
import pytest

from glcic_jax.errors import UserError
from glcic_jax.evaluation.perception import PerceptionWatch, frechet_distance, frechet_errors


def test_frechet_distance_of_normal_distributions():
    """Means 3 apart, variances 4 and 1 along one axis, equal along the other: 9 + (2 - 1)^2."""
    rng = np.random.default_rng(0)
    one = rng.normal(size=(200_000, 2)) * [2.0, 1.0] + [3.0, 0.0]
    other = rng.normal(size=(200_000, 2))
    np.testing.assert_allclose(frechet_distance(one, other), 10.0, rtol=0.01)
    np.testing.assert_allclose(frechet_distance(one, one), 0.0, atol=1e-9)


def test_frechet_distance_is_blind_to_rotation_of_both():
    rng = np.random.default_rng(1)
    one, other = rng.normal(size=(500, 3)) * [1, 2, 3], rng.normal(size=(400, 3)) + 1
    rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    np.testing.assert_allclose(
        frechet_distance(one @ rotation, other @ rotation), frechet_distance(one, other)
    )
    np.testing.assert_allclose(frechet_distance(other, one), frechet_distance(one, other))


def test_perception_tells_a_perfect_copy_from_a_mean(trained, photo_crops):
    watch = PerceptionWatch(trained)
    for batch in (photo_crops[:3], photo_crops[3:]):
        watch(batch, {"copy": batch, "mean": np.full_like(batch, 127)})
    perception = watch.perception()
    assert perception.accuracy == 0.5
    seen = perception.methods
    assert seen["copy"].same_class == (1.0, 1.0, 1.0)
    np.testing.assert_allclose(seen["copy"].frechet_distance, 0.0, atol=1e-9)
    value, low, high = seen["mean"].frechet_distance
    assert 0 < low < value < high
    flat = np.full_like(photo_crops, 127)
    distance = frechet_distance(trained.look(flat).features, trained.look(photo_crops).features)
    assert value == pytest.approx(distance)


def test_the_standard_error_is_that_of_repeated_samples():
    """Of 60 fresh samples of 300; a single one's resamples tell it from within."""
    rng = np.random.default_rng(2)

    def sample():
        real = rng.normal(size=(300, 3))
        return real, real * 1.5 + rng.normal(size=real.shape) + 0.5

    distances = [frechet_distance(other, real) for real, other in (sample() for _ in range(60))]
    real, other = sample()
    assert frechet_errors(real, {"m": other})["m"] == pytest.approx(np.std(distances), rel=0.4)


def test_one_image_is_not_enough(trained, photo_crops):
    watch = PerceptionWatch(trained)
    watch(photo_crops[:1], {"copy": photo_crops[:1]})
    with pytest.raises(UserError, match="two images or more"):
        watch.perception()
