"""What is written and what is refused, whatever the format."""

from __future__ import annotations

import importlib.util

import chex
import jax
import numpy as np
import pytest
import safetensors
from export_cases import make_source

from glcic_jax import load_generator
from glcic_jax.config.saved import from_json
from glcic_jax.errors import UserError
from glcic_jax.export.formats import FORMATS, write_generator
from glcic_jax.inpainting.generator_files import load_file


@pytest.mark.parametrize("name", ["npz", "safetensors"])
def test_weights_come_back_bit_for_bit(name, source, tmp_path):
    path = tmp_path / f"generator.{name}"
    write_generator(name, path, source)
    config, generator, variables = load_file(path)
    assert (config, generator) == (source.config, source.generator)
    chex.assert_trees_all_equal(variables, source.variables)
    chex.assert_trees_all_equal(load_generator(path)[1], source.variables)


def test_other_tools_find_the_configuration_in_a_safetensors_file(source, tmp_path):
    path = tmp_path / "generator.safetensors"
    write_generator("safetensors", path, source)
    with safetensors.safe_open(path, "numpy") as file:
        assert from_json(file.metadata()["config.json"]) == source.config
        kernel = file.get_tensor("params/entry/kernel")
    np.testing.assert_array_equal(kernel, source.variables["params"]["entry"]["kernel"])


def test_a_damaged_safetensors_file_is_refused(source, tmp_path):
    path = tmp_path / "generator.safetensors"
    write_generator("safetensors", path, source)
    sound = path.read_bytes()
    for content in (sound[:-1], sound[:100], sound.replace(b"config.json", b"config.jsen")):
        path.write_bytes(content)
        with pytest.raises(UserError, match="is not a generator that"):
            load_generator(path)
    path.write_bytes(sound.replace(b"params/entry", b"params/exits"))
    with pytest.raises(UserError, match="are not those of the network"):
        load_generator(path)


@pytest.mark.parametrize("name", FORMATS)
def test_weights_that_are_no_numbers_are_refused(name, source, tmp_path):
    variables = jax.tree.map(np.array, source.variables)
    variables["params"]["entry"]["kernel"][0, 0, 0, 0] = np.nan
    with pytest.raises(UserError, match="not all finite"):
        write_generator(name, tmp_path / "x", source._replace(variables=variables))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["onnx", "stablehlo"])
def test_a_network_of_one_size_is_refused(name, tmp_path):
    encoder = make_source(generator="context_encoder", bottleneck=4)
    with pytest.raises(UserError, match="only those of 32 pixels; write it as npz"):
        write_generator(name, tmp_path / "x", encoder)
    assert not list(tmp_path.iterdir())


def test_a_missing_package_is_named(source, tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(UserError, match=r"needs the package onnx; run: pip install .*\[export\]"):
        write_generator("onnx", tmp_path / "x", source)


def test_what_can_not_be_written_is_told(source, tmp_path):
    with pytest.raises(UserError, match="can't write"):
        write_generator("onnx", tmp_path / "none" / "x.onnx", source)
