"""Every preset compiles for TPUs, on a machine without one."""

from __future__ import annotations

import dataclasses
import os
from concurrent.futures import ThreadPoolExecutor

import jax
import pytest

from glcic_jax.config.presets import PRESETS
from glcic_jax.config.settings import LoopConfig, LossConfig, PhaseConfig

pytest.importorskip("libtpu", reason="libtpu is not installed: pip install '.[tpu]'")

from benchmarks.tpu_compile import (
    compile_for_tpu,
    count_collectives,
    lower_for_tpu,
    topology_mesh,
)
from glcic_jax.errors import UserError

TOPOLOGY = "v5e:2x2"


def shape_of(config):
    """What decides the program's operations: losses and schedules differ by scalars."""
    average = config.optimizer.ema_decay > 0
    return dataclasses.replace(
        config,
        data=dataclasses.replace(config.data, sources=()),
        losses=LossConfig(),
        phases=PhaseConfig(),
        loop=LoopConfig(),
        optimizer=dataclasses.replace(
            config.optimizer, ema_decay=0.5 * average, warmup_steps=1, learning_rate=1.0
        ),
    )


DISTINCT = {shape_of(config): name for name, config in reversed(PRESETS.items())}


@pytest.fixture(scope="module")
def mesh():
    return topology_mesh(TOPOLOGY)


def test_every_preset_compiles_for_tpu(mesh):
    """The joint step, which holds all that the other two do."""
    with ThreadPoolExecutor() as pool:
        compiled = {
            name: pool.submit(compile_for_tpu, PRESETS[name], "joint", mesh, quick=True)
            for name in DISTINCT.values()
        }
    for name, future in compiled.items():
        program = future.result()
        assert program.images == PRESETS[name].data.batch_size // 4
        assert program.memory < 16e9
        assert set(program.collectives) == {"all-reduce"}


def test_native_operators_on_tpu(mesh):
    """The rewritings for CPUs must not reach the program: they multiply matrices tap by tap."""
    text = lower_for_tpu(PRESETS["cifar100"], "completion", mesh).as_text()
    assert "lhs_dilate = [2, 2]" in text
    assert "stablehlo.dot_general" not in text


def test_unknown_topologies_are_one_message():
    for name in ("v5e:3x3", "v9:2x2", "nonsense"):
        with pytest.raises(UserError, match=name):
            topology_mesh(name)


def test_asynchronous_collectives_count_once():
    text = "%a = f32[2]{0} all-reduce-start(%b)\n%c = all-reduce-done(%a)\n%d = all-gather(%c)"
    assert count_collectives(text) == {"all-reduce": 1, "all-gather": 1}


def test_libtpu_leaves_the_default_platform_alone():
    assert jax.default_backend() == os.environ["JAX_PLATFORMS"]
