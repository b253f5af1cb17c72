"""Joining sources and their mean colour."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from glcic_jax.config.settings import Config, DataConfig
from glcic_jax.data.sources import ConcatImages, mean_pixel, open_evaluation, open_split
from glcic_jax.errors import UserError


def test_evaluation_joins_the_sources_in_order(folder_config):
    sources = (*folder_config.data.sources, "photos")
    config = dataclasses.replace(
        folder_config, data=dataclasses.replace(folder_config.data, sources=sources)
    )
    folder, photos = open_split(config, "validation")
    joined = open_evaluation(config, "validation")
    assert isinstance(joined, ConcatImages)
    assert len(joined) == len(folder) + 500
    np.testing.assert_array_equal(joined[len(folder) - 1], folder[len(folder) - 1])
    np.testing.assert_array_equal(joined[len(folder)], photos[0])
    np.testing.assert_array_equal(joined[len(joined) - 1], photos[499])
    assert (photos.fixed, joined.fixed) == (True, False)
    rng = np.random.default_rng(0)
    np.testing.assert_array_equal(joined.sample(len(folder) + 2, rng), photos[2])
    for outside in (-1, len(joined)):
        with pytest.raises(IndexError):
            joined[outside]


def test_mean_pixel_is_the_weighted_mean(folder_config):
    folder = open_split(folder_config, "train")[0]
    photos = open_split(dataclasses.replace(folder_config, data=DataConfig()), "train")[0]
    of_folder = np.mean([folder[i] for i in range(len(folder))], axis=(0, 1, 2)) / 255
    chosen = [photos[i * 16384 // 64] for i in range(64)]
    of_photos = np.mean(chosen, axis=(0, 1, 2)) / 255
    result = mean_pixel([folder, photos], weights=(3, 1), limit=64)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, 0.75 * of_folder + 0.25 * of_photos, rtol=1e-5)
    np.testing.assert_allclose(
        mean_pixel([folder, photos], limit=64), (of_folder + of_photos) / 2, rtol=1e-5
    )
    np.testing.assert_array_equal(mean_pixel([folder], limit=9), mean_pixel([folder], limit=9))


def test_unknown_source():
    config = dataclasses.replace(Config(), data=DataConfig(sources=("imagenet",)))
    with pytest.raises(UserError, match="imagenet"):
        open_split(config, "train")
