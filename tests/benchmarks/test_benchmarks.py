"""The benchmarks: same kinds of masks, honest counts of work, clear complaints."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import initialise, replace

from benchmarks import exported, tpu_compile, work
from benchmarks import masks as mask_benchmark
from benchmarks.timing import Spread, alternate
from glcic_jax.config.settings import Config, ModelConfig
from glcic_jax.cpu import convolutions
from glcic_jax.imaging.training_masks import training_masks
from glcic_jax.inpainting.generator_files import save_generator
from glcic_jax.networks.layers import Conv, InterpolatedConv
from glcic_jax.networks.registry import build_generator


@pytest.mark.parametrize("kind", mask_benchmark.KINDS)
def test_numpy_masks_are_of_the_same_kind(kind):
    """Pixel by pixel, as many are missing on average over 2,000 masks."""
    config = replace(mask_benchmark.default_config(), masks={"kind": kind})
    rng = np.random.default_rng(0)
    theirs = np.mean([mask_benchmark.numpy_mask(rng, 32, config.masks) for _ in range(2000)], 0)
    keys = jax.random.split(jax.random.key(0), 2000)
    ours = jax.jit(lambda: training_masks(keys, 32, config.masks).mean(0))()
    assert np.abs(theirs - np.asarray(ours)[..., 0]).max() < 0.08
    assert abs(theirs.mean() - float(ours.mean())) < 0.01


def test_flops_agree_with_the_compiler(tiny_config, monkeypatch):
    """Without padding to skip, the count is what XLA counts for the same convolutions."""
    monkeypatch.setattr(convolutions, "suit", lambda *_: False)  # of ours it counts nothing
    x = jax.ShapeDtypeStruct((1, 16, 16, 4), jnp.float32)
    for layer, biases in (
        (Conv(32), 256),
        (Conv(32, stride=2), 64),
        (Conv(32, size=5, dilation=2), 256),
        (InterpolatedConv(32), 0),
    ):
        params = jax.eval_shape(lambda x, layer=layer: layer.init(jax.random.key(0), x), x)
        compiled = jax.jit(layer.apply).lower(params, x).compile()
        counted = work._layer_flops(layer, (x,)) + 32 * biases
        assert counted == pytest.approx(compiled.cost_analysis()["flops"], rel=0.02)
    assert work.step_flops(tiny_config, "joint") > work.step_flops(tiny_config, "completion")


def test_a_crash_of_the_tpu_compiler_is_told(monkeypatch, tmp_path, tiny_config):
    interpreter = tmp_path / "python"
    interpreter.write_text("#!/bin/sh\nkill -SEGV $$\n")
    interpreter.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(interpreter))
    with pytest.raises(tpu_compile.CompilerCrash, match="SIGSEGV"):
        tpu_compile.compile_apart(tiny_config, "joint", "v5e:2x2")


def test_dead_taps_are_no_work():
    x = jax.ShapeDtypeStruct((1, 8, 8, 16), jnp.float32)
    assert work._layer_flops(Conv(16, dilation=8), (x,)) == 2 * 8 * 8 * 16 * 16


@pytest.mark.parametrize(
    ("command", "complaint"),
    [
        ("benchmarks.data --folder /no/such/folder", "/no/such/folder"),
        ("benchmarks.masks --json /no/such/folder/x.json", "--json"),
        ("benchmarks.train_step --rounds 0", "--rounds"),
        ("benchmarks.train_step --contenders bfloat16", "--contenders"),
        ("benchmarks.train_step --device cuda --devices 2", "--devices"),
        ("benchmarks.train_step --device cuda", "JAX sees no CUDA device"),
        ("benchmarks.inpaint --device cuda", "JAX sees no CUDA device"),
        ("benchmarks.operators --calls 0", "--calls"),
        ("benchmarks.tpu --preset nonsense", "preset"),
        ("benchmarks.time_to_quality --minutes 3 1", "--minutes"),
        ("benchmarks.time_to_quality --minutes 1 nan", "--minutes"),
        ("benchmarks.time_to_quality --minutes inf", "--minutes"),
        ("benchmarks.time_to_quality --turn nan", "--turn"),
        ("benchmarks.listing --small 3 --large 3", "--large"),
        ("benchmarks.time_to_quality --preset nonsense", "nonsense"),
        ("benchmarks.time_to_quality --classifier /no/such.npz", "/no/such.npz"),
    ],
)
def test_mistakes_are_one_message(call_program, command, complaint):
    status, errors = call_program(*command.split())
    assert status == 1
    assert complaint in errors
    assert len(errors.splitlines()) == 1


def test_masks_benchmark_runs(run_python, tmp_path: Path):
    path = tmp_path / "masks.json"
    command = f"-m benchmarks.masks --rounds 2 --seconds 0.01 --json {path}"
    done = run_python(*command.split())
    assert done.returncode == 0, done.stderr
    record = json.loads(path.read_text())
    assert {result["kind"] for result in record["results"]} == set(mask_benchmark.KINDS)
    assert all(result["glcic_jax"]["median"] > 0 for result in record["results"])


def test_everyone_has_a_turn_in_each_round():
    turns = []
    samples = alternate(
        {name: lambda count, name=name: turns.append((name, count)) for name in "ab"},
        rounds=3,
        calls=5,
        settle_seconds=0.0,
    )
    assert turns[6:] == [(name, 5) for name in "abbaab"]
    assert all(len(sample.call_seconds) == 3 for sample in samples.values())
    assert Spread.of([4.0, 1.0, 2.0]) == Spread(2.0, 1.0, 4.0, (1.5, 3.0))


def test_an_exported_file_is_timed_beside_the_package(tmp_path, monkeypatch):
    """With a generator so small that compiling it is quick."""
    config = Config(model=ModelConfig(width=4, dilations=(2,), fill="harmonic"))
    image, mask = np.zeros((1, 32, 32, 3), np.float32), np.zeros((1, 32, 32, 1), np.float32)
    fresh = initialise(build_generator(config), jax.random.key(0), image, mask)
    save_generator(tmp_path / "small.npz", config, fresh, {})
    options = "--size 40 --holes 8 --rounds 2 --seconds 0.01".split()
    files = ["--generator", str(tmp_path / "small.npz"), "--json", str(tmp_path / "x.json")]
    monkeypatch.setattr(sys, "argv", ["exported", *options, *files])
    exported.main()
    record = json.loads((tmp_path / "x.json").read_text())
    assert set(record["holes"]["8"]) == {"ONNX Runtime", "inpaint_fn"}
    assert record["machine"]["packages"]["onnxruntime"]
