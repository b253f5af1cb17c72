"""Our reader and writer against the format's own library, and files that are damaged."""

from __future__ import annotations

import io
import json
import struct

import numpy as np
import pytest
import safetensors
import safetensors.numpy

from glcic_jax.runtime.safetensors_files import read_safetensors, save_safetensors

ARRAYS = {
    "a/kernel": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    "b": np.float32(0.5),
    "empty": np.zeros((0, 3), np.float32),
}


def test_the_formats_own_library_reads_what_we_write(tmp_path):
    path = tmp_path / "x.safetensors"
    save_safetensors(path, ARRAYS, {"config.json": "{}"})
    with safetensors.safe_open(path, "numpy") as file:
        assert file.metadata() == {"config.json": "{}"}
        assert set(file.keys()) == set(ARRAYS)
        for name, values in ARRAYS.items():
            np.testing.assert_array_equal(file.get_tensor(name), values)


def test_we_read_what_it_writes():
    arrays = {"half": np.array([[1.5, -2.0]], np.float16), "full": np.ones((3, 1), np.float32)}
    content = safetensors.numpy.save(arrays, {"who": "it"})
    found, metadata = read_safetensors(io.BytesIO(content))
    assert metadata == {"who": "it"}
    for name, values in arrays.items():
        assert found[name].dtype == values.dtype
        np.testing.assert_array_equal(found[name], values)


def test_damage_is_told(tmp_path):
    path = tmp_path / "x.safetensors"
    save_safetensors(path, ARRAYS, {})
    sound = path.read_bytes()
    for end in (0, 7, 8, 60, len(sound) - 1):
        with pytest.raises(ValueError, match=r"short|Expecting|Unterminated"):
            read_safetensors(io.BytesIO(sound[:end]))


@pytest.mark.parametrize(
    ("entry", "complaint"),
    [
        ({"dtype": "I64", "shape": [1], "data_offsets": [0, 8]}, "not described as"),
        ({"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}, "cut short"),
        ({"dtype": "F32", "shape": [-1], "data_offsets": [0, -4]}, "cut short"),
        ({"dtype": "F32", "shape": [1], "data_offsets": [-4, 0]}, "cut short"),
        ({"dtype": "F32", "shape": 1}, "not described as"),
        (["F32"], "not described as"),
    ],
)
def test_places_outside_the_file_are_refused(entry, complaint):
    text = json.dumps({"x": entry}).encode()
    content = struct.pack("<Q", len(text)) + text + bytes(8)
    with pytest.raises(ValueError, match=complaint):
        read_safetensors(io.BytesIO(content))
