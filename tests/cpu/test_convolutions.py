"""The convolutions in C are XLA's, forward and by both arguments, for any geometry."""

from __future__ import annotations

import functools
import json
import os
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export, lax
from jax.sharding import AxisType, PartitionSpec

from glcic_jax.cpu import convolutions, library
from glcic_jax.networks import operators

pytestmark = pytest.mark.skipif(not shutil.which("cc"), reason="there is no C compiler")


@pytest.fixture(autouse=True, scope="module")
def _loaded():
    """What a compiler refuses is a failure, not a reason to leave the tests out."""
    assert library.is_loaded()


def _by_xla(x, kernel, *, stride, dilation, pad):
    return lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        ((pad, pad), (pad, pad)),
        rhs_dilation=(dilation, dilation),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        precision="highest",
    )


def _value_and_gradients(function, x, kernel):
    def run(x, kernel):
        y, pullback = jax.vjp(function, x, kernel)
        cotangent = jnp.cos(jnp.arange(y.size, dtype=jnp.float32)).reshape(y.shape)
        return y, *pullback(cotangent)

    return jax.jit(run)(x, kernel)


def _random_case(number):
    """Sizes on both sides of every block: of pixels, of vectors, of channels, of the batch."""
    rng = np.random.default_rng(number)
    side, stride, dilation = rng.integers([1, 1, 1], [6, 4, 4])
    reach = dilation * (side - 1) + 1
    pad = rng.integers(0, reach + 2)
    least = max(1, reach - 2 * pad)
    height, width = rng.integers(least, least + 12, 2)
    batch = rng.choice([1, 2, 9, 17])
    channels = rng.choice([1, 3, 4, 7, 12, 16, 20, 32, 33, 48])
    features = rng.choice([1, 2, 3, 4, 5, 8, 16, 17, 20, 32, 40, 70])
    x = rng.normal(size=(batch, height, width, channels)).astype(np.float32)
    kernel = rng.normal(size=(side, side, channels, features)).astype(np.float32)
    return x, kernel, {"stride": int(stride), "dilation": int(dilation), "pad": int(pad)}


@pytest.mark.parametrize("number", range(40))
def test_any_geometry(number):
    x, kernel, geometry = _random_case(number)
    ours = functools.partial(convolutions.convolve, **geometry)
    xla = functools.partial(_by_xla, **geometry)
    expected = _value_and_gradients(xla, x, kernel)
    for got, wanted in zip(_value_and_gradients(ours, x, kernel), expected, strict=True):
        assert got.shape == wanted.shape
        np.testing.assert_allclose(got, wanted, rtol=0, atol=3e-6 * np.abs(wanted).max() + 1e-30)


def test_a_kernel_with_many_weights():
    """From a quarter of a million on, the batch is not added up in parts."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3, 4, 4, 176)).astype(np.float32)
    kernel = rng.normal(size=(3, 3, 176, 176)).astype(np.float32)
    geometry = {"stride": 1, "dilation": 1, "pad": 1}
    expected = _value_and_gradients(functools.partial(_by_xla, **geometry), x, kernel)
    ours = functools.partial(convolutions.convolve, **geometry)
    for got, wanted in zip(_value_and_gradients(ours, x, kernel), expected, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=0, atol=3e-6 * np.abs(wanted).max())


def test_derivatives_of_derivatives():
    """A gradient's norm, as gradient penalties have it, has a gradient too."""
    x, kernel, geometry = _random_case(3)

    def penalty(function, x, kernel):
        gradient = jax.grad(lambda x: jnp.tanh(function(x, kernel, **geometry)).sum())(x)
        return (gradient**2).sum()

    ours, expected = (
        jax.jit(jax.grad(functools.partial(penalty, function), (0, 1)))(x, kernel)
        for function in (convolutions.convolve, _by_xla)
    )
    for got, wanted in zip(ours, expected, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())


def test_forwards_and_mapped():
    x, kernel, geometry = _random_case(5)
    kernels = np.stack([kernel, 2 * kernel[::-1]])

    def tangent(function):
        def along(kernel):
            function_of_x = functools.partial(function, kernel_KxKxCxF=kernel, **geometry)
            return jax.jvp(function_of_x, (x,), (jnp.sin(x),))[1]

        return jax.jit(jax.vmap(along))(kernels)

    def xla(x, kernel_KxKxCxF, **geometry):
        return _by_xla(x, kernel_KxKxCxF, **geometry)

    wanted = tangent(xla)
    got = tangent(convolutions.convolve)
    np.testing.assert_allclose(got, wanted, rtol=0, atol=3e-6 * np.abs(wanted).max())


@pytest.mark.parametrize("features", [3, 20])
def test_bits_do_not_depend_on_what_else_is_computed(features):
    """Alone or in a batch, in a window or in the whole map."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(5, 30, 41, 16)).astype(np.float32)
    kernel = rng.normal(size=(3, 3, 16, features)).astype(np.float32)
    whole = np.asarray(convolutions.convolve(x, kernel, stride=1, dilation=2, pad=0))
    alone = convolutions.convolve(x[2:3], kernel, stride=1, dilation=2, pad=0)
    np.testing.assert_array_equal(alone[0], whole[2])
    window = convolutions.convolve(x[:, 3:17, 5:25], kernel, stride=1, dilation=2, pad=0)
    np.testing.assert_array_equal(window, whole[:, 3:13, 5:21])


BITS = """
import os, sys, zlib
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: int(sys.argv[1])])
import numpy as np
from tests.cpu import test_convolutions as tests
assert tests.library.is_loaded()
x, kernel, geometry = tests._random_case(11)
x = np.tile(x, (8, 1, 1, 1))
function = tests.functools.partial(tests.convolutions.convolve, **geometry)
arrays = tests._value_and_gradients(function, x, kernel)
print(tests.json.dumps([zlib.crc32(np.asarray(array).tobytes()) for array in arrays]))
"""


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs to choose processors")
def test_bits_do_not_depend_on_threads(run_python):
    runs = [run_python("-c", BITS, str(count)) for count in (1, 2)]
    assert [run.returncode for run in runs] == [0, 0], runs[0].stderr
    one, two = (json.loads(run.stdout) for run in runs)
    assert one == two


def test_what_it_leaves_to_xla():
    float32, kernel = jnp.zeros((1, 8, 8, 3)), jnp.zeros((3, 3, 3, 4))
    assert convolutions.suit(float32, kernel)
    half = jnp.zeros((1, 8, 8, 3), jnp.bfloat16)
    empty = jnp.zeros((0, 8, 8, 3))
    vast = jnp.zeros((17, 17, 3, 4))
    assert not convolutions.suit(half, kernel)
    assert not convolutions.suit(empty, kernel)
    assert not convolutions.suit(float32, vast)
    assert operators.convolve(jnp.zeros((0, 8, 8, 3)), jnp.ones((3, 3, 3, 4))).shape == (0, 8, 8, 4)


@pytest.mark.parametrize("check", [True, False])
def test_shard_map_on_one_device(check):
    """Types that tell what varies are XLA's affair."""
    x, kernel = jnp.ones((2, 8, 8, 3)), jnp.ones((3, 3, 3, 4))
    mesh = jax.make_mesh((1,), ("batch",), axis_types=(AxisType.Auto,))
    specs = {"in_specs": (PartitionSpec("batch"), PartitionSpec()), "check_vma": check}
    mapped = jax.shard_map(operators.convolve, mesh=mesh, out_specs=PartitionSpec("batch"), **specs)
    np.testing.assert_allclose(jax.jit(mapped)(x, kernel), operators.convolve(x, kernel), rtol=1e-6)


@pytest.mark.parametrize("number", [2, 7])
def test_exported_programs_do_without_the_library(number):
    x, kernel, geometry = _random_case(number)
    ours = functools.partial(convolutions.convolve, **geometry)

    def run(x, kernel):
        y, pullback = jax.vjp(ours, x, kernel)
        return y, *pullback(jnp.sin(y))

    exported = export.export(jax.jit(run))(x, kernel)
    assert "custom_call" not in exported.mlir_module()
    back = export.deserialize(exported.serialize())
    for got, wanted in zip(back.call(x, kernel), jax.jit(run)(x, kernel), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=0, atol=3e-6 * np.abs(wanted).max())
