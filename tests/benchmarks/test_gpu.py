"""The comparison on a GPU, rehearsed on the CPU: no test needs PyTorch or a GPU."""

from __future__ import annotations

import dataclasses
import importlib.util
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import replace

from benchmarks import accelerators, gpu_contenders, gpu_train_step, stepping
from benchmarks.gpu_contenders import CONTENDERS, Contender, Prepared
from benchmarks.train_step import Contender as Key
from glcic_jax.errors import UserError
from glcic_jax.training.recipe import build_recipe

LIMITS = {
    "device": "a card",
    "peak_flops": {"float32": 1e12, "bfloat16": 2e12},
    "bandwidth": 1e11,
}


def test_many_steps_in_a_call_are_those_steps(tiny_config, photo_crops):
    """And a step tells its bytes."""
    config = replace(
        tiny_config,
        data={"batch_size": 4},
        model={"dilations": (2,), "fill": "mean"},
        optimizer={"warmup_steps": 0},
    )
    images = photo_crops[:, :16, :16]
    mean = stepping.mean_pixel(images)
    index_KxB = np.array([[0, 1, 2, 3], [7, 6, 5, 4], [1, 3, 5, 7]], np.int32)
    mesh, state, step = stepping.start(config, "completion", mean, images)
    start = jax.tree.map(jnp.copy, state)
    alone = []
    for index_B in index_KxB:
        state, terms = step(state, index_B)
        alone.append(float(terms.flat()["reconstruction"]))
    assert gpu_contenders._bytes_accessed(step, state, index_KxB[0]) > images.nbytes

    take_steps = gpu_contenders.scan_steps(build_recipe(config), "completion", mesh)
    after, terms = take_steps(start, index_KxB, images)
    np.testing.assert_allclose(terms.flat()["reconstruction"], alone, rtol=1e-4)
    assert int(after.step) == int(state.step) == 3
    for ours, theirs in zip(jax.tree.leaves(after), jax.tree.leaves(state), strict=True):
        # Where a gradient is nearly zero, Adam's sign is rounding.
        assert np.mean(np.abs(ours - theirs) > 1e-4) < 0.05


def test_a_contender_that_fails_is_a_row(tiny_config, tmp_path, monkeypatch, capsys):
    def fails(*_):
        raise RuntimeError("out of memory\nand much more")

    def works(*_):
        return Prepared(lambda _: None, 1, lambda: 8e3)

    def works_without_bytes(*_):
        return Prepared(lambda _: None, 32, fails)

    builders = {"float32": works, "bfloat16": fails, "scanned": works_without_bytes}
    for key, prepare in builders.items():
        contender = dataclasses.replace(CONTENDERS[key], prepare=prepare)
        monkeypatch.setitem(CONTENDERS, key, contender)
    monkeypatch.setattr(accelerators, "describe", lambda _: LIMITS)
    path = tmp_path / "x.json"
    plan = gpu_train_step.Plan({"tiny": tiny_config}, ("joint",), tuple(builders), 2, 0.0, path)
    gpu_train_step.measure_all(plan, "cpu")
    record = json.loads(path.read_text())
    (result,) = record["results"]
    first, second, third = (result["contenders"][CONTENDERS[key].name] for key in builders)
    assert second == {"failed": "RuntimeError: out of memory"}
    moved = first["median"] / tiny_config.data.batch_size * 8e3
    assert first["share_of_bandwidth"] == pytest.approx(moved / LIMITS["bandwidth"])
    assert third["bytes_of_step"] is None
    assert third["share_of_peak"] == pytest.approx(
        third["median"] * result["flops_per_image"] / LIMITS["peak_flops"]["bfloat16"]
    )
    told = capsys.readouterr()
    assert "a card" in told.out
    assert told.out.count("failed: RuntimeError: out of memory") == 1
    assert len(told.err.splitlines()) == 5, "the card, three contenders, no bytes of one"


def test_every_contender_can_be_chosen():
    assert set(CONTENDERS) == set(Key.__args__)
    assert all(isinstance(contender, Contender) for contender in CONTENDERS.values())


def test_without_pytorch_there_is_nothing_to_compare_with(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(UserError, match="PyTorch is not installed"):
        accelerators.require_torch_cuda()
