"""CIFAR-100 through TensorFlow Datasets."""

from __future__ import annotations

import importlib.util
import pickle
import types
import urllib.error

import numpy as np
import pytest

from glcic_jax.data import cifar100
from glcic_jax.data.cifar100 import Cifar100
from glcic_jax.errors import UserError


@pytest.fixture(scope="module")
def builder():
    """The prepared data set, or a skip where there is none."""
    tfds = pytest.importorskip("tensorflow_datasets")
    prepared = tfds.builder("cifar100")
    if not prepared.is_prepared():
        pytest.skip(f"CIFAR-100 is not prepared in {prepared.data_dir}; set TFDS_DATA_DIR")
    return prepared


@pytest.mark.usefixtures("builder")
def test_validation_and_test_share_no_image():
    validation, test = Cifar100("validation"), Cifar100("test")
    assert (len(Cifar100("train")), len(validation), len(test)) == (50_000, 3000, 7000)
    one = {validation[i].tobytes() for i in range(3000)}
    other = {test[i].tobytes() for i in range(7000)}
    assert len(one) == 3000
    # CIFAR-100 itself has one image twice among the 10,000 of its test set; any overlap of the two
    # ranges would show as more.
    assert len(one & other) <= 1
    assert len(one | other) >= 9998


def test_same_pixels_as_tfds_decodes(builder):
    source = builder.as_data_source("test")
    validation, test = Cifar100("validation"), Cifar100("test")
    for index in (0, 1, 2999):
        np.testing.assert_array_equal(validation[index], source[index]["image"])
    for index in (0, 6999):
        np.testing.assert_array_equal(test[index], source[3000 + index]["image"])
    np.testing.assert_array_equal(test.sample(5, np.random.default_rng(0)), test[5])
    with pytest.raises(IndexError):
        test[7000]


@pytest.mark.usefixtures("builder")
def test_pickles_without_its_pixels():
    opened = Cifar100("validation")
    image = opened[4]
    packed = pickle.dumps(opened)
    assert len(packed) < 2000
    np.testing.assert_array_equal(pickle.loads(packed)[4], image)


class _Unprepared:
    """Stands for a TFDS builder that has not been prepared."""

    def __init__(self, directory, error=None):
        self.data_dir = str(directory / "cifar100" / "3.0.2")
        self._error = error

    def download_and_prepare(self, *, file_format):
        assert file_format == "array_record"
        if self._error:
            raise self._error


@pytest.fixture
def tensorflow_installed(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)


def test_not_prepared_and_no_tensorflow_names_the_command(tmp_path, monkeypatch):
    tfds = pytest.importorskip("tensorflow_datasets")
    build = tfds.builder
    monkeypatch.setattr(tfds, "builder", lambda name: build(name, data_dir=tmp_path))
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(UserError, match=r"pip install 'glcic-jax\[cifar100\]' && python -c"):
        Cifar100("train")
    assert not list(tmp_path.iterdir())


def test_another_format_is_refused(tmp_path, monkeypatch):
    class OtherFormat(_Unprepared):
        info = types.SimpleNamespace(
            available_file_formats=lambda: [types.SimpleNamespace(value="tfrecord")]
        )

        def is_prepared(self):
            return True

    tfds = pytest.importorskip("tensorflow_datasets")
    monkeypatch.setattr(tfds, "builder", lambda _: OtherFormat(tmp_path))
    with pytest.raises(UserError, match="has the format tfrecord, not array_record"):
        Cifar100("train")


@pytest.mark.usefixtures("tensorflow_installed")
def test_no_network_is_told_at_once(tmp_path, monkeypatch):
    def unreachable(*_, **__):
        raise urllib.error.URLError("no route")

    monkeypatch.setattr("urllib.request.urlopen", unreachable)
    with pytest.raises(UserError, match=r"can't be reached .*no route.*\n?.*TFDS_DATA_DIR"):
        cifar100._prepare(_Unprepared(tmp_path))


@pytest.mark.usefixtures("tensorflow_installed")
def test_a_failed_preparation_names_the_reason(tmp_path):
    archive = tmp_path / "downloads" / "x_cifar-100-binary.tar.gz"
    archive.parent.mkdir()
    archive.touch()  # downloaded before, so the network is not asked
    builder = _Unprepared(tmp_path, OSError("No space left on device\nmore"))
    with pytest.raises(UserError, match=r"failed: No space left on device\n"):
        cifar100._prepare(builder)
    cifar100._prepare(_Unprepared(tmp_path))
