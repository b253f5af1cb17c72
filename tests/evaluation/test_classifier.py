"""What the classifier sees, and its file."""

from __future__ import annotations

import numpy as np
import pytest

from glcic_jax.errors import UserError
from glcic_jax.evaluation.classifier import (
    Classifier,
    load_classifier,
    save,
)


def test_what_is_seen_does_not_depend_on_the_batch(trained, photo_crops):
    many = np.concatenate([photo_crops] * 9)  # more than one call's rows
    together = trained.look(many)
    assert len(together.classes) == 72
    for index in (0, 71):
        alone = trained.look(many[index : index + 1])
        assert alone.classes[0] == together.classes[index]
        np.testing.assert_array_equal(alone.features[0], together.features[index])


def test_a_saved_classifier_sees_the_same(trained, photo_crops, tmp_path):
    save(tmp_path / "classifier.npz", trained)
    again = load_classifier(tmp_path / "classifier.npz")
    assert again.accuracy == 0.5
    np.testing.assert_array_equal(
        again.look(photo_crops).features, trained.look(photo_crops).features
    )


@pytest.mark.parametrize("content", [None, b"", b"not a file of arrays", b"PK\x03\x04 cut short"])
def test_other_files_are_refused(content, tmp_path):
    path = tmp_path / "classifier.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=r"is not a classifier that glcic-jax train-classifier"):
        load_classifier(path)
    for arrays in ({"width": 4}, {"width": 4, "accuracy": 0.5}):
        np.savez(path, **arrays)
        with pytest.raises(UserError, match="is not a classifier"):
            load_classifier(path)
    with path.open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(UserError, match="is not a classifier"):
        load_classifier(path)


def test_a_classifier_of_another_width_than_its_arrays_is_refused(trained, tmp_path):
    save(tmp_path / "classifier.npz", trained._replace(classifier=Classifier(width=8)))
    with pytest.raises(UserError, match="is not a classifier"):
        load_classifier(tmp_path / "classifier.npz")
