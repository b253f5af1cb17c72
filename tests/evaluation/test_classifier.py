"""The classifier's file, and the distance of features."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from support import initialise

from glcic_jax.errors import UserError
from glcic_jax.evaluation.classifier import (
    Classifier,
    Judge,
    Witness,
    frechet_distance,
    frechet_errors,
    load_classifier,
    save,
)


@pytest.fixture(scope="module")
def judge():
    classifier = Classifier(width=4)
    image = np.zeros((1, 32, 32, 3), np.float32)
    return Judge(classifier, initialise(classifier, jax.random.key(0), image), accuracy=0.5)


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


def test_what_is_seen_does_not_depend_on_the_batch(judge, photo_crops):
    many = np.concatenate([photo_crops] * 9)  # more than one call's rows
    together = judge.look(many)
    assert len(together.classes) == 72
    for index in (0, 71):
        alone = judge.look(many[index : index + 1])
        assert alone.classes[0] == together.classes[index]
        np.testing.assert_array_equal(alone.features[0], together.features[index])


def test_a_witness_tells_a_perfect_copy_from_a_mean(judge, photo_crops):
    witness = Witness(judge)
    for batch in (photo_crops[:3], photo_crops[3:]):
        witness(batch, {"copy": batch, "mean": np.full_like(batch, 127)})
    testimony = witness.testimony()
    assert testimony["accuracy"] == 0.5
    seen = testimony["methods"]
    assert seen["copy"]["same_class"] == [1.0, 1.0, 1.0]
    np.testing.assert_allclose(seen["copy"]["frechet_distance"], 0.0, atol=1e-9)
    value, low, high = seen["mean"]["frechet_distance"]
    assert 0 < low < value < high
    flat = np.full_like(photo_crops, 127)
    distance = frechet_distance(judge.look(flat).features, judge.look(photo_crops).features)
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


def test_one_image_is_not_enough(judge, photo_crops):
    witness = Witness(judge)
    witness(photo_crops[:1], {"copy": photo_crops[:1]})
    with pytest.raises(UserError, match="two images or more"):
        witness.testimony()


def test_a_saved_classifier_sees_the_same(judge, photo_crops, tmp_path):
    save(tmp_path / "classifier.npz", judge)
    again = load_classifier(tmp_path / "classifier.npz")
    assert again.accuracy == 0.5
    np.testing.assert_array_equal(
        again.look(photo_crops).features, judge.look(photo_crops).features
    )


@pytest.mark.parametrize("content", [None, b"", b"not a file of arrays", b"PK\x03\x04 cut short"])
def test_other_files_are_refused(content, tmp_path):
    path = tmp_path / "classifier.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=r"is not a classifier that examples/train_classifier\.py"):
        load_classifier(path)
    for arrays in ({"width": 4}, {"width": 4, "accuracy": 0.5}):
        np.savez(path, **arrays)
        with pytest.raises(UserError, match="is not a classifier"):
            load_classifier(path)
    with path.open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(UserError, match="is not a classifier"):
        load_classifier(path)


def test_a_classifier_of_another_width_than_its_arrays_is_refused(judge, tmp_path):
    save(tmp_path / "classifier.npz", judge._replace(classifier=Classifier(width=8)))
    with pytest.raises(UserError, match="is not a classifier"):
        load_classifier(tmp_path / "classifier.npz")
