"""Every formulation is the operator a reader expects, and so are its two gradients.

The oracles are written from the definitions: SciPy's correlation on a zero-padded input, and a
scatter for the transposed convolution. Gradients are compared with those of XLA's native operator,
and the native operator's with the oracle through linearity.
"""

import functools
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from scipy import signal

from glcic_jax.cpu import convolutions as in_c
from glcic_jax.networks import operators, rewritings

BATCH = 2


def _arrays(seed, height, width, side, channels=3, features=4):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(BATCH, height, width, channels)).astype(np.float32)
    kernel = rng.normal(size=(side, side, channels, features)).astype(np.float32)
    return x, kernel


def _correlate(x, kernel, stride, dilation):
    """The definition, in float64: SciPy per channel pair, with explicit zeros between the taps."""
    side, _, channels, features = kernel.shape
    spread = dilation * (side - 1) + 1
    dilated = np.zeros((spread, spread, channels, features))
    dilated[::dilation, ::dilation] = kernel
    pad = dilation * (side - 1) // 2
    padded = np.pad(x.astype(np.float64), ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    y = [
        [
            sum(
                signal.correlate2d(image[..., c], dilated[..., c, f], mode="valid")
                for c in range(channels)
            )
            for f in range(features)
        ]
        for image in padded
    ]
    return np.moveaxis(np.array(y), 1, -1)[:, ::stride, ::stride]


def _scatter(x, kernel):
    """What ConvTranspose2d(4, 2, 1) means: every input pixel paints a patch, the rim is cut off."""
    batch, height, width, _ = x.shape
    y = np.zeros((batch, 2 * height + 2, 2 * width + 2, kernel.shape[3]))
    for h in range(height):
        for w in range(width):
            patch = np.einsum("bc,ijcf->bijf", x[:, h, w].astype(np.float64), kernel)
            y[:, 2 * h : 2 * h + 4, 2 * w : 2 * w + 4] += patch
    return y[:, 1:-1, 1:-1]


def _value_and_gradients(function, x, kernel):
    """The value and both pullbacks of a fixed, uneven cotangent."""

    @jax.jit
    def run(x, kernel):
        y, pullback = jax.vjp(function, x, kernel)
        cotangent = jnp.cos(jnp.arange(y.size, dtype=jnp.float32)).reshape(y.shape)
        return y, *pullback(cotangent.astype(y.dtype))

    return run(x, kernel)


def _assert_close(actual, expected, tolerance=2e-6):
    """Compare with an error relative to the largest value, which is what rounding scales with."""
    actual, expected = np.asarray(actual, np.float64), np.asarray(expected, np.float64)
    assert actual.shape == expected.shape
    assert np.abs(actual - expected).max() <= tolerance * np.abs(expected).max() + 1e-30


# (height, width, side, stride, dilation)
SHAPES = [
    (5, 6, 5, 1, 3),
    (8, 8, 3, 1, 2),
    (8, 8, 3, 1, 4),
    (8, 8, 3, 1, 16),
    (9, 7, 3, 1, 4),
    (1, 1, 3, 1, 1),
    (6, 5, 1, 1, 1),
    (8, 8, 3, 2, 1),
    (8, 8, 5, 2, 1),
    (7, 9, 5, 2, 1),
    (5, 5, 3, 2, 1),
    (1, 1, 5, 2, 1),
    (6, 7, 3, 2, 2),
]


def _formulations(stride, dilation):
    """Each function that claims to be this convolution, whatever the rule would choose."""
    yield "public", functools.partial(operators.convolve, stride=stride, dilation=dilation)
    yield "by XLA", functools.partial(_by_xla, stride, dilation)
    if stride == 1:
        function = rewritings.convolve_live_taps
        yield function.__name__, functools.partial(_with_dilation, function, dilation)
    if stride == 2 and dilation == 1:
        yield "convolve_space_to_depth", rewritings.convolve_space_to_depth


def _by_xla(stride, dilation, x, kernel):
    native = functools.partial(operators.convolve_native, stride=stride, dilation=dilation)
    return (rewritings.rewriting(x, kernel, stride, dilation) or native)(x, kernel)


def _with_dilation(function, dilation, x, kernel):
    return function(x, kernel, dilation)


@pytest.fixture
def by_xla(monkeypatch):
    """As on a machine without a C compiler."""
    monkeypatch.setattr(in_c, "suit", lambda *_: False)


@functools.cache
def _native_results(height, width, side, stride, dilation):
    native = functools.partial(operators.convolve_native, stride=stride, dilation=dilation)
    return _value_and_gradients(native, *_arrays(1, height, width, side))


@functools.cache
def _native_transposed(height, width):
    return _value_and_gradients(operators.convolve_transpose_native, *_arrays(3, height, width, 4))


CASES = [
    pytest.param(*shape, function, id=f"{name}-{'-'.join(map(str, shape))}")
    for shape in SHAPES
    for name, function in _formulations(*shape[3:])
]


@pytest.mark.parametrize(("height", "width", "side", "stride", "dilation"), SHAPES)
def test_native_convolution_is_the_definition(height, width, side, stride, dilation):
    x, kernel = _arrays(0, height, width, side)
    y = operators.convolve_native(x, kernel, stride=stride, dilation=dilation)
    _assert_close(y, _correlate(x, kernel, stride, dilation))


@pytest.mark.parametrize(("height", "width", "side", "stride", "dilation", "function"), CASES)
def test_convolution_formulations_agree(height, width, side, stride, dilation, function):
    actual = _value_and_gradients(function, *_arrays(1, height, width, side))
    expected = _native_results(height, width, side, stride, dilation)
    for got, wanted in zip(actual, expected, strict=True):
        _assert_close(got, wanted)


@pytest.mark.parametrize("size", [(8, 8), (7, 9), (5, 5), (1, 1), (1, 6)])
@pytest.mark.parametrize(
    "function",
    [
        operators.convolve_transpose_native,
        rewritings.convolve_transpose_phases,
        operators.convolve_transpose,
    ],
)
def test_transposed_convolution(size, function):
    x, kernel = _arrays(3, *size, 4)
    expected = _native_transposed(*size)
    actual = _value_and_gradients(function, x, kernel)
    _assert_close(actual[0], _scatter(x, kernel))
    for got, wanted in zip(actual, expected, strict=True):
        _assert_close(got, wanted)


@pytest.mark.parametrize("size", [(8, 8), (7, 9), (1, 1), (1, 6)])
@pytest.mark.parametrize("features", [4, 8])
@pytest.mark.parametrize("in_which", ["in C", "by XLA"])
def test_convolution_of_the_doubled_map(size, features, in_which, request):
    """Also with fewer features than are worth a rewriting."""
    if in_which == "by XLA":
        request.getfixturevalue("by_xla")
    x, kernel = _arrays(12, *size, 3, features=features)
    doubled = x.repeat(2, axis=1).repeat(2, axis=2)
    expected = _value_and_gradients(operators.convolve_doubled_native, x, kernel)
    actual = _value_and_gradients(operators.convolve_doubled, x, kernel)
    _assert_close(actual[0], _correlate(doubled, kernel, 1, 1))
    for got, wanted in zip(actual, expected, strict=True):
        _assert_close(got, wanted)


BY_ORACLE = [
    (functools.partial(_with_dilation, rewritings.convolve_live_taps, 4), (8, 7, 3), (1, 4)),
    (functools.partial(operators.convolve, stride=2), (7, 8, 5), (2, 1)),
    (operators.convolve_transpose, (5, 4, 4), None),
]


@pytest.mark.parametrize(("function", "shape", "setting"), BY_ORACLE)
def test_gradients_are_adjoint_to_the_definition(function, shape, setting):
    """<g, A dx> = <A' g, dx> and the same for the kernel, with A taken from the oracle."""
    x, kernel = _arrays(4, *shape)
    x_dot, kernel_dot = _arrays(5, *shape)

    def oracle(x, kernel):
        return _scatter(x, kernel) if setting is None else _correlate(x, kernel, *setting)

    @jax.jit
    def derivatives(x, kernel, cotangent):
        tangent = jax.jvp(function, (x, kernel), (x_dot, kernel_dot))[1]
        return tangent, *jax.vjp(function, x, kernel)[1](cotangent)

    expected = oracle(x_dot, kernel) + oracle(x, kernel_dot)
    cotangent = np.random.default_rng(6).normal(size=expected.shape).astype(np.float32)
    tangent, x_bar, kernel_bar = derivatives(x, kernel, cotangent)
    _assert_close(tangent, expected)
    for actual, wanted in [
        (np.vdot(x_bar, x_dot), np.vdot(cotangent, oracle(x_dot, kernel))),
        (np.vdot(kernel_bar, kernel_dot), np.vdot(cotangent, oracle(x, kernel_dot))),
    ]:
        np.testing.assert_allclose(actual, wanted, rtol=1e-4, atol=1e-3)


CHOSEN = [
    (functools.partial(operators.convolve, dilation=4), (8, 7, 3, 128)),
    (functools.partial(operators.convolve, stride=2), (7, 8, 5, 3)),
    (operators.convolve_transpose, (5, 4, 4, 3)),
    (operators.convolve_doubled, (5, 4, 3, 3, 8)),
]


@pytest.mark.parametrize(("function", "shape"), CHOSEN)
def test_other_platforms_get_one_native_convolution(function, shape):
    """What is lowered for a TPU holds a convolution and no product, even on a machine without."""
    x, kernel = _arrays(7, *shape)
    traced = jax.jit(lambda x, kernel: function(x, kernel)).trace(x, kernel)
    program = traced.lower(lowering_platforms=("tpu",)).as_text()
    assert program.count("stablehlo.convolution") == 1
    assert "dot_general" not in program


@pytest.mark.parametrize(
    ("function", "shape", "text", "present"),
    [
        (*CHOSEN[0], "stablehlo.convolution", False),
        (functools.partial(operators.convolve, dilation=8), (8, 7, 3, 3), "convolution", False),
        (*CHOSEN[1], "lhs_dilate = [2, 2]", False),
        (*CHOSEN[0], "dot_general", True),
        (*CHOSEN[2], "lhs_dilate = [2, 2]", False),
        (*CHOSEN[3], "tensor<2x2x3x8xf32>", True),
        (
            functools.partial(operators.convolve, stride=2),
            (16, 16, 5, 3),
            "lhs_dilate = [2, 2]",
            True,
        ),
        (operators.convolve, (8, 8, 3, 128), "dot_general", False),
        (operators.convolve, (32, 33, 3, 128), "dot_general", False),
    ],
)
@pytest.mark.usefixtures("by_xla")
def test_rule_for_cpu(function, shape, text, present):
    """The gradient's program shows which form was chosen; the last two are left native."""
    x, kernel = _arrays(11, *shape)
    gradient = jax.jit(jax.grad(lambda x, kernel: (function(x, kernel) ** 2).sum(), (0, 1)))
    program = gradient.trace(x, kernel).lower(lowering_platforms=("cpu",)).as_text()
    assert (text in program) == present


@pytest.mark.skipif(not shutil.which("cc"), reason="there is no C compiler")
@pytest.mark.parametrize(("function", "shape"), CHOSEN)
def test_one_cpu_calls_the_library(function, shape):
    """Forward and both gradients, and nothing of XLA's."""
    x, kernel = _arrays(11, *shape)
    gradient = jax.jit(jax.grad(lambda x, kernel: (function(x, kernel) ** 2).sum(), (0, 1)))
    program = gradient.trace(x, kernel).lower(lowering_platforms=("cpu",)).as_text()
    assert program.count("custom_call @glcic_jax_") == 3
    assert "stablehlo.convolution" not in program


def test_batch_stays_sharded_on_two_devices(run_python):
    """Runs the test below where there are two devices to shard over."""
    run = run_python("-m", "pytest", "-q", "-n0", __file__, "-k", "test_mesh", devices=BATCH)
    assert run.returncode == 0, run.stdout
    assert f"{len(CHOSEN)} passed" in run.stdout


@pytest.mark.skipif(jax.device_count() < BATCH, reason="run by the test above")
@pytest.mark.parametrize(("function", "shape"), CHOSEN)
def test_mesh(function, shape):
    """Only the weight gradient is summed over devices; no activation is gathered or moved."""
    x, kernel = _arrays(8, *shape)
    split, whole = PartitionSpec("batch"), PartitionSpec()

    def gradients(x, kernel):
        return jax.grad(lambda x, kernel: (function(x, kernel) ** 2).sum(), (0, 1))(x, kernel)

    def on_mesh(axis_type):
        mesh = jax.make_mesh((BATCH,), ("batch",), axis_types=(axis_type,))
        x_split = jax.device_put(x, NamedSharding(mesh, split))
        return mesh, (x_split, jax.device_put(kernel, NamedSharding(mesh, whole)))

    mesh, arrays = on_mesh(AxisType.Auto)
    sharded = jax.jit(gradients).lower(*arrays).compile()
    program = sharded.as_text()
    assert not any(word in program for word in ("all-gather", "all-to-all", "collective-permute"))
    manual = jax.shard_map(gradients, mesh=mesh, in_specs=(split, whole), out_specs=(split, whole))
    expected = jax.jit(gradients)(x, kernel)
    for actual in (sharded(*arrays), jax.jit(manual)(*arrays)):
        for got, wanted in zip(actual, expected, strict=True):
            _assert_close(got, wanted, tolerance=1e-5)

    # Explicit axes check the sharding of every operation while tracing; nothing need be compiled.
    x_type = jax.jit(gradients).eval_shape(*on_mesh(AxisType.Explicit)[1])[0]
    assert x_type.sharding.spec[0] == "batch"


@pytest.mark.parametrize(("function", "shape"), CHOSEN)
def test_vmap_equals_a_loop(function, shape):
    x, kernel = _arrays(9, *shape)
    images = jnp.stack([x, 2 * x[::-1]])
    kernels = jnp.stack([kernel, kernel[::-1]])
    mapped = jax.jit(jax.vmap(function))(images, kernels)
    for got, image, weights in zip(mapped, images, kernels, strict=True):
        _assert_close(got, function(image, weights))


@pytest.mark.parametrize(("function", "shape"), CHOSEN)
def test_bfloat16_stays_and_accumulates_in_more(function, shape):
    x, kernel = (jnp.asarray(a, jnp.bfloat16) for a in _arrays(10, *shape))
    actual = _value_and_gradients(function, x, kernel)
    expected = _value_and_gradients(function, x.astype(jnp.float32), kernel.astype(jnp.float32))
    for got, wanted in zip(actual, expected, strict=True):
        assert got.dtype == jnp.bfloat16
        _assert_close(got, wanted, tolerance=1e-2)


@pytest.mark.parametrize(
    ("x_shape", "kernel_shape", "options", "message"),
    [
        ((8, 8, 3), (3, 3, 3, 4), {}, "NHWC"),
        ((1, 8, 8, 3), (3, 3, 3), {}, "NHWC"),
        ((1, 8, 8, 3), (3, 3, 2, 4), {}, "channels"),
        ((1, 8, 8, 3), (4, 4, 3, 4), {}, "odd"),
        ((1, 8, 8, 3), (3, 5, 3, 4), {}, "square"),
        ((1, 8, 8, 3), (3, 3, 3, 4), {"stride": 0}, "positive"),
        ((1, 8, 8, 3), (3, 3, 3, 4), {"dilation": 0}, "positive"),
    ],
)
def test_convolve_refuses(x_shape, kernel_shape, options, message):
    with pytest.raises(ValueError, match=message):
        operators.convolve(jnp.zeros(x_shape), jnp.zeros(kernel_shape), **options)


@pytest.mark.parametrize(
    ("function", "kernel_shape", "message"),
    [
        (operators.convolve_transpose, (3, 3, 3, 4), "4x4"),
        (operators.convolve_transpose, (4, 4, 2, 4), "channels"),
        (operators.convolve_doubled, (4, 4, 3, 8), "3x3"),
        (operators.convolve_doubled, (3, 3, 2, 8), "channels"),
    ],
)
def test_doubling_refuses(function, kernel_shape, message):
    with pytest.raises(ValueError, match=message):
        function(jnp.zeros((1, 8, 8, 3)), jnp.zeros(kernel_shape))


@pytest.mark.parametrize(
    ("side", "kernel", "stride", "dilation"),
    [(14, 3, 1, 1), (15, 3, 2, 1), (16, 3, 2, 1), (23, 3, 1, 8), (12, 5, 1, 1)],
)
def test_inner_convolution_is_the_middle_of_the_padded_one(side, kernel, stride, dilation):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, side, side + 3, 6)).astype(np.float32)
    weight = rng.normal(size=(kernel, kernel, 6, 9)).astype(np.float32)
    inner = operators.convolve_inner(x, weight, stride=stride, dilation=dilation)
    border = dilation * (kernel - 1) // 2
    every = np.asarray(operators.convolve_native(x, weight, dilation=dilation))
    wanted = every[:, border : side - border : stride, border : side + 3 - border : stride]
    assert inner.shape == wanted.shape
    np.testing.assert_allclose(np.asarray(inner), wanted, atol=2e-5)
