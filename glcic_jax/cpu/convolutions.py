"""The convolutions of `convolutions.h` as operations of JAX.

There are three: the convolution, its transpose, and the gradient by the kernel. Each is linear in
both of its arguments, with the other two as its gradients, so they can be differentiated as often
as wanted, forwards and backwards. `jax.vmap` calls them for one example after another.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from glcic_jax.cpu import library

Geometry = tuple[int, int, int]
"""Stride, dilation, and how many zeros stand before the first row and column."""

Gradient = Callable[[jax.Array, jax.Array, Geometry, tuple[int, ...]], jax.Array]

_LARGEST_KERNEL = 16
_MOST_CHANNELS = 1 << 16


def are_used() -> bool:
    """Whether the caller's convolutions are this room's operations, where these can do them.

    They are if JAX computes on a single CPU device, for XLA does not know how to share them out
    over several (nor what varies in a `jax.shard_map` or `jax.pmap`), and if the library can be
    loaded, which compiles it at the first call (`library.is_loaded`; may raise a `UserError`).
    """
    return (
        jax.default_backend() == "cpu"
        and jax.device_count() == 1
        and not jax.sharding.get_abstract_mesh().manual_axes
        and library.is_loaded()
    )


def suit(x_BxHxWxC: jax.Array, kernel_KxKxCxF: jax.Array) -> bool:
    """Whether to convolve these arrays with this room's operations: `are_used`, and the arrays are
    float32 of a known shape."""
    arrays = (x_BxHxWxC, kernel_KxKxCxF)
    lengths = [length for array in arrays for length in array.shape]
    return (
        all(isinstance(length, int) and length > 0 for length in lengths)
        and all(array.dtype == np.float32 for array in arrays)
        and kernel_KxKxCxF.shape[0] <= _LARGEST_KERNEL
        and max(kernel_KxKxCxF.shape[2:]) <= _MOST_CHANNELS
        and are_used()
    )


def convolve(
    x_BxHxWxC: jax.Array, kernel_KxKxCxF: jax.Array, *, stride: int, dilation: int, pad: int
) -> jax.Array:
    """Cross-correlate, with `pad` zeros on every side; float32 of shape (B, H', W', F)."""
    reach = dilation * (kernel_KxKxCxF.shape[0] - 1) + 1
    height, width = ((length + 2 * pad - reach) // stride + 1 for length in x_BxHxWxC.shape[1:3])
    shape = (x_BxHxWxC.shape[0], height, width, kernel_KxKxCxF.shape[3])
    return _convolve.bind(x_BxHxWxC, kernel_KxKxCxF, geometry=(stride, dilation, pad), shape=shape)


def convolve_transposed(
    y_BxHxWxF: jax.Array, kernel_KxKxCxF: jax.Array, geometry: Geometry, shape: tuple[int, ...]
) -> jax.Array:
    """The transpose of `convolve` with that geometry, for an x of that shape (B, H', W', C)."""
    return _transposed.bind(y_BxHxWxF, kernel_KxKxCxF, geometry=geometry, shape=shape)


def _convolve_by_xla(x: jax.Array, kernel: jax.Array, geometry: Geometry, **_: Any) -> jax.Array:
    stride, dilation, pad = geometry
    return lax.conv_general_dilated(
        x,
        kernel,
        window_strides=(stride, stride),
        padding=((pad, pad), (pad, pad)),
        rhs_dilation=(dilation, dilation),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


def _transposed_by_xla(y: jax.Array, kernel: jax.Array, geometry: Geometry, shape: Any) -> Any:
    def forward(x: jax.Array) -> jax.Array:
        return _convolve_by_xla(x, kernel, geometry)

    return jax.linear_transpose(forward, jax.ShapeDtypeStruct(shape, y.dtype))(y)[0]


def _gradient_by_xla(x: jax.Array, y: jax.Array, geometry: Geometry, shape: Any) -> Any:
    def forward(kernel: jax.Array) -> jax.Array:
        return _convolve_by_xla(x, kernel, geometry)

    return jax.linear_transpose(forward, jax.ShapeDtypeStruct(shape, y.dtype))(y)[0]


def _operation(name: str, by_xla: Callable) -> Primitive:
    """A function of the library. Its parameters are a `geometry` and the `shape` of its result.

    `by_xla` does the same without the library: for programs that `jax.export` writes, which may run
    where it is not.
    """
    primitive = Primitive(name)

    @functools.partial(jax.jit, static_argnames=("geometry", "shape"))
    def by_itself(a: jax.Array, b: jax.Array, **settings: Any) -> jax.Array:
        return primitive.bind(a, b, **settings)

    def call(a: jax.Array, b: jax.Array, *, geometry: Geometry, shape: tuple[int, ...]) -> Any:
        function = jax.ffi.ffi_call(name, jax.ShapeDtypeStruct(shape, a.dtype))
        return function(a, b, geometry=np.array(geometry, np.int64))

    def mapped(arrays: Any, axes: Any, **settings: Any) -> tuple[jax.Array, int]:
        size = next(a.shape[axis] for a, axis in zip(arrays, axes, strict=True) if axis is not None)
        stacks = tuple(
            jnp.broadcast_to(a, (size, *a.shape)) if axis is None else jnp.moveaxis(a, axis, 0)
            for a, axis in zip(arrays, axes, strict=True)
        )
        return lax.map(lambda pair: primitive.bind(*pair, **settings), stacks), 0

    primitive.def_impl(by_itself)
    primitive.def_abstract_eval(lambda a, _, shape, **__: jax.core.ShapedArray(shape, a.dtype))
    in_c, elsewhere = (mlir.lower_fun(form, multiple_results=False) for form in (call, by_xla))

    def on_cpu(context: Any, *arrays: Any, **settings: Any) -> Any:
        exports = getattr(context.module_context.lowering_parameters, "for_export", False)
        return (elsewhere if exports else in_c)(context, *arrays, **settings)

    mlir.register_lowering(primitive, elsewhere)
    mlir.register_lowering(primitive, on_cpu, platform="cpu")
    batching.primitive_batchers[primitive] = mapped
    return primitive


_convolve = _operation(library.FUNCTIONS[0], _convolve_by_xla)
_transposed = _operation(library.FUNCTIONS[1], _transposed_by_xla)
_kernel_gradient = _operation(library.FUNCTIONS[2], _gradient_by_xla)


def _derive(primitive: Primitive, by_first: Gradient, by_second: Gradient) -> None:
    """Say what the gradients of `<g, primitive(a, b)>` by a and by b are, of g and the other."""
    ad.defbilinear(
        primitive,
        lambda g, a, b, geometry, **_: by_first(g, b, geometry, a.aval.shape),
        lambda g, a, b, geometry, **_: by_second(g, a, geometry, b.aval.shape),
    )


def _of(primitive: Primitive, *, g_first: bool) -> Gradient:
    """A gradient that is a primitive, of g and the other array in that order or the reverse."""

    def gradient(g: jax.Array, other: jax.Array, geometry: Geometry, shape: Any) -> jax.Array:
        pair = (g, other) if g_first else (other, g)
        return primitive.bind(*pair, geometry=geometry, shape=shape)

    return gradient


_derive(_convolve, _of(_transposed, g_first=True), _of(_kernel_gradient, g_first=False))
_derive(_transposed, _of(_convolve, g_first=True), _of(_kernel_gradient, g_first=True))
_derive(_kernel_gradient, _of(_transposed, g_first=False), _of(_convolve, g_first=False))
