"""Convolution and two kinds that double the map, in the form that suits the platform.

Every formulation is the same linear map as XLA's native operator and differs by rounding only. TPU
and GPU always run the native operator. A single CPU device calls convolutions of our own in C
(`glcic_jax.cpu`) where there is a C compiler; otherwise the native operator, or a rewriting of it
where that is many times quicker (`rewritings.py`).

Arrays are NHWC, kernels HWIO, float32 or bfloat16; the result has the dtype of the input. Shapes
are in the names: B batch, H and W the map, K the kernel side, C channels in, F channels out.
To force the native operator on every platform, call `convolve_native`, `convolve_transpose_native`
and `convolve_doubled_native`; they take the same arguments.

Sources: Iizuka, Simo-Serra and Ishikawa, "Globally and Locally Consistent Image Completion",
ACM TOG 36(4), 2017, for the operators; Shi et al., "Is the deconvolution layer the same as a
convolutional layer?", arXiv:1609.07009, for the output phases of a transposed convolution.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from glcic_jax.cpu import convolutions as in_c
from glcic_jax.networks.rewritings import (
    FEWEST_FEATURES,
    LAYOUT,
    convolve_transpose_phases,
    rewriting,
)


def convolve(
    x_BxHxWxC: jax.Array, kernel_KxKxCxF: jax.Array, *, stride: int = 1, dilation: int = 1
) -> jax.Array:
    """Cross-correlate, with `dilation * (K - 1) // 2` zeros on every side, as PyTorch pads.

    Args:
      x_BxHxWxC: float32 or bfloat16 input.
      kernel_KxKxCxF: square kernel of odd side, of the input's dtype.
      stride: step between outputs; an output side is `ceil(input side / stride)`.
      dilation: step between the taps of the kernel.

    Returns:
      The result, B x ceil(H / stride) x ceil(W / stride) x F, of the input's dtype.

    Raises:
      ValueError: if an array does not have four axes, the channels differ, the kernel is not
        square or has an even side, or `stride` or `dilation` is less than 1.
    """
    _check(x_BxHxWxC, kernel_KxKxCxF)
    side, width = kernel_KxKxCxF.shape[:2]
    if side != width or side % 2 == 0:
        raise ValueError(f"the kernel must be square with an odd side, got {side}x{width}")
    if stride < 1 or dilation < 1:
        raise ValueError(f"stride and dilation must be positive, got {stride} and {dilation}")

    def native(x, kernel):
        return convolve_native(x, kernel, stride=stride, dilation=dilation)

    if not all(isinstance(length, int) for length in x_BxHxWxC.shape[1:3]):
        return native(x_BxHxWxC, kernel_KxKxCxF)  # exported for all sizes
    on_cpu: Callable[[jax.Array, jax.Array], jax.Array]
    if in_c.suit(x_BxHxWxC, kernel_KxKxCxF):
        pad = dilation * (side - 1) // 2
        on_cpu = functools.partial(in_c.convolve, stride=stride, dilation=dilation, pad=pad)
    else:
        on_cpu = rewriting(x_BxHxWxC, kernel_KxKxCxF, stride, dilation) or native
    return _per_platform(on_cpu, native, x_BxHxWxC, kernel_KxKxCxF)


def convolve_transpose(x_BxHxWxC: jax.Array, kernel_4x4xCxF: jax.Array) -> jax.Array:
    """Upsample by two: the 4x4 transposed convolution of stride 2 and padding 1.

    Input pixel (h, w) adds `x[h, w] @ kernel[a, b]` to output pixel (2h + a - 1, 2w + b - 1), so
    the kernel is the weight of PyTorch's `ConvTranspose2d(C, F, 4, 2, 1)` with its axes in the
    order (2, 3, 0, 1), not mirrored.

    Args:
      x_BxHxWxC: float32 or bfloat16 input.
      kernel_4x4xCxF: kernel, of the input's dtype.

    Returns:
      The result, B x 2H x 2W x F, of the input's dtype.

    Raises:
      ValueError: if an array does not have four axes, the channels differ, or the kernel is not
        4x4.
    """
    _check(x_BxHxWxC, kernel_4x4xCxF)
    if kernel_4x4xCxF.shape[:2] != (4, 4):
        raise ValueError(f"the kernel must be 4x4, got {kernel_4x4xCxF.shape[:2]}")
    # The native weight gradient on CPU is an input-dilated convolution with a window as large as
    # the map. By phases, forward and both gradients run 7 to 30 times faster at 8x8 and 16x16
    # (2-core AVX-512 CPU); on TPU the native operator moves a third less memory.
    on_cpu = _transpose_in_c if in_c.suit(x_BxHxWxC, kernel_4x4xCxF) else convolve_transpose_phases
    return _per_platform(on_cpu, convolve_transpose_native, x_BxHxWxC, kernel_4x4xCxF)


def convolve_doubled(x_BxHxWxC: jax.Array, kernel_3x3xCxF: jax.Array) -> jax.Array:
    """Repeat every pixel twice along both axes, then `convolve` at that size.

    Args:
      x_BxHxWxC: float32 or bfloat16 input.
      kernel_3x3xCxF: kernel, of the input's dtype.

    Returns:
      The result, B x 2H x 2W x F, of the input's dtype.

    Raises:
      ValueError: if an array does not have four axes, the channels differ, or the kernel is not
        3x3.
    """
    _check(x_BxHxWxC, kernel_3x3xCxF)
    if kernel_3x3xCxF.shape[:2] != (3, 3):
        raise ValueError(f"the kernel must be 3x3, got {kernel_3x3xCxF.shape[:2]}")
    if kernel_3x3xCxF.shape[3] < FEWEST_FEATURES:  # see there
        return convolve(_double_nearest(x_BxHxWxC), kernel_3x3xCxF)

    # The nine taps read only four different pixels for an output, so four products do on CPU;
    # `benchmarks.operators --generator residual` times them.
    def on_cpu(x, kernel):
        return convolve_transpose(x, _transposed_kernel(kernel))

    return _per_platform(on_cpu, convolve_doubled_native, x_BxHxWxC, kernel_3x3xCxF)


def convolve_native(
    x_BxHxWxC: jax.Array, kernel_KxKxCxF: jax.Array, *, stride: int = 1, dilation: int = 1
) -> jax.Array:
    """`convolve` as one XLA convolution on every platform, without its checks."""
    pad = dilation * (kernel_KxKxCxF.shape[0] - 1) // 2
    return lax.conv_general_dilated(
        x_BxHxWxC,
        kernel_KxKxCxF,
        window_strides=(stride, stride),
        padding=((pad, pad), (pad, pad)),
        rhs_dilation=(dilation, dilation),
        dimension_numbers=LAYOUT,
    )


def convolve_inner(
    x_BxHxWxC: jax.Array, kernel_KxKxCxF: jax.Array, *, stride: int = 1, dilation: int = 1
) -> jax.Array:
    """As `convolve`, but nothing is padded: only outputs whose every tap lies in the input."""

    def native(x, kernel):
        return lax.conv_general_dilated(
            x,
            kernel,
            window_strides=(stride, stride),
            padding="VALID",
            rhs_dilation=(dilation, dilation),
            dimension_numbers=LAYOUT,
        )

    if not in_c.suit(x_BxHxWxC, kernel_KxKxCxF):
        return native(x_BxHxWxC, kernel_KxKxCxF)
    on_cpu = functools.partial(in_c.convolve, stride=stride, dilation=dilation, pad=0)
    return _per_platform(on_cpu, native, x_BxHxWxC, kernel_KxKxCxF)


def convolve_transpose_native(x_BxHxWxC: jax.Array, kernel_4x4xCxF: jax.Array) -> jax.Array:
    """`convolve_transpose` as one XLA convolution on every platform, without its checks."""
    return lax.conv_general_dilated(
        x_BxHxWxC,
        jnp.flip(kernel_4x4xCxF, (0, 1)),
        window_strides=(1, 1),
        padding=((2, 2), (2, 2)),
        lhs_dilation=(2, 2),
        dimension_numbers=LAYOUT,
    )


def convolve_doubled_native(x_BxHxWxC: jax.Array, kernel_3x3xCxF: jax.Array) -> jax.Array:
    """`convolve_doubled` as a repetition and one XLA convolution, without its checks."""
    return convolve_native(_double_nearest(x_BxHxWxC), kernel_3x3xCxF)


def _transpose_in_c(x: jax.Array, kernel: jax.Array) -> jax.Array:
    batch, height, width, _ = x.shape
    shape = (batch, 2 * height, 2 * width, kernel.shape[3])
    return in_c.convolve_transposed(x, kernel.swapaxes(2, 3), (2, 1, 1), shape)


def _double_nearest(x_BxHxWxC: jax.Array) -> jax.Array:
    return x_BxHxWxC.repeat(2, axis=1).repeat(2, axis=2)


def _transposed_kernel(kernel_3x3xCxF: jax.Array) -> jax.Array:
    """The 4x4 kernel with which `convolve_transpose` does what `convolve_doubled` does.

    Each input pixel stands at two places along an axis, so it reaches an output through two
    neighbouring taps, whose sum is the tap of the transposed convolution.
    """
    mirrored = jnp.flip(kernel_3x3xCxF.astype(jnp.float32), (0, 1))
    for axis in (0, 1):
        margin = [(0, 0)] * 4
        margin[axis] = (1, 0)
        before = jnp.pad(mirrored, margin)
        margin[axis] = (0, 1)
        mirrored = before + jnp.pad(mirrored, margin)
    return mirrored.astype(kernel_3x3xCxF.dtype)


def _check(x: jax.Array, kernel: jax.Array) -> None:
    if x.ndim != 4 or kernel.ndim != 4:
        raise ValueError(f"need NHWC and HWIO arrays, got shapes {x.shape} and {kernel.shape}")
    if x.shape[3] != kernel.shape[2]:
        raise ValueError(f"input has {x.shape[3]} channels, the kernel reads {kernel.shape[2]}")


def _per_platform(on_cpu, native, x: jax.Array, kernel: jax.Array) -> jax.Array:
    # platform_dependent decides when the program is lowered, jax.default_backend() when it is
    # traced: only the former is right for a program compiled ahead of time for a TPU on a machine
    # that has none. The branch not taken leaves nothing in the compiled program.
    return lax.platform_dependent(x, kernel, cpu=on_cpu, default=native)
