"""`glcic-jax export`: which format, which generator, and mistakes as one message."""

from __future__ import annotations

import sys

import numpy as np
import onnxruntime
import pytest

from glcic_jax import load_generator
from glcic_jax.commands import export


def run(monkeypatch, *words: object) -> None:
    monkeypatch.setattr(sys, "argv", ["glcic-jax export", *map(str, words)])
    export.main()


def test_the_ending_says_the_format_and_files_are_read_again(monkeypatch, capsys, tmp_path):
    weights, graph = tmp_path / "x.safetensors", tmp_path / "graph"
    run(monkeypatch, "photographs", "--output", weights)
    assert f"{weights}: 4.7 MB" in capsys.readouterr().out
    leaves = [
        load_generator(name)[1]["params"]["entry"]["kernel"] for name in (weights, "photographs")
    ]
    np.testing.assert_array_equal(*leaves)
    run(monkeypatch, weights, "--to", "onnx", "--levels", 0, "--output", graph)
    inputs = onnxruntime.InferenceSession(graph).get_inputs()
    assert [value.name for value in inputs] == ["image", "mask"]
    monkeypatch.setenv("HOME", str(tmp_path))
    # A shell leaves this one as it is.
    run(monkeypatch, weights, "~/x.safetensors", "--output=~/mean.npz")
    assert (tmp_path / "mean.npz").is_file()
    assert "MB\n" in capsys.readouterr().out, "the steps of neither are known"
    before = graph.read_bytes()
    run(monkeypatch, weights, "--to", "onnx", "--output", graph, "--overwrite")
    assert graph.read_bytes() != before


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("photographs", "--to", "onxx", "--output", "x.onnx"), "invalid choice 'onxx'"),
        (("photographs", "--output", "x.xyz"), "--output x.xyz: give a file that ends in one of"),
        (("photographs", "--output", "none/x.onnx"), "in a directory that exists"),
        (("photographs", "--to", "onnx", "--output", "x.npz"), "ends in .npz, and --to is onnx"),
        (("photographs", "--output", "there.onnx"), "is there already; --overwrite replaces it"),
        (("photographs", "--output", "x.npz", "--levels", "3"), "--levels is about onnx and"),
        (("photographs", "--output", "x.onnx", "--levels", "11"), "must lie between 0 and 10"),
        (("--output", "x.onnx"), "name a generator"),
        (("there.onnx", "--output", "x.onnx"), "is not a generator that glcic-jax export wrote"),
        (("there.onnx", "--output", "x.onnx"), "are read by glcic-jax import"),
        (("none.npz", "--output", "x.onnx"), "none.npz does not exist"),
        (("photograph", "--output", "x.onnx"), "no pretrained generator 'photograph'"),
        (("photographs", "cifar100", "--output", "x.npz"), "photographs has another network than"),
    ],
)
def test_mistakes_are_one_message(call_program, tmp_path, monkeypatch, words, complaint):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.onnx").write_bytes(b"kept")
    status, said = call_program("glcic_jax.commands.export", *words)
    assert status == 1
    assert said.startswith("error: ")
    assert complaint in said
    assert [path.name for path in tmp_path.iterdir()] == ["there.onnx"]
    assert (tmp_path / "there.onnx").read_bytes() == b"kept"
