"""Convolution and two kinds that double the map, in the form that suits the platform.

Every formulation here is the same linear map as the native operator and differs by rounding only.
TPU and GPU always run the native operator. On CPU it is rewritten where the native operator or its
gradient is many times slower, which both kinds that double the map always are, and where few
features would make its bits depend on the number of threads.

Arrays are NHWC, kernels HWIO, float32 or bfloat16; the result has the dtype of the input. Shapes
are in the names: B batch, H and W the map, K the kernel side, C channels in, F channels out.
To force the native operator on every platform, call `convolve_native`, `convolve_transpose_native`
and `convolve_doubled_native`; they take the same arguments.

Sources: Iizuka, Simo-Serra and Ishikawa, "Globally and Locally Consistent Image Completion",
ACM TOG 36(4), 2017, for the operators; Shi et al., "Is the deconvolution layer the same as a
convolutional layer?", arXiv:1609.07009, for the output phases of a transposed convolution.
"""

import functools
import itertools
from collections.abc import Iterator

import jax
import jax.numpy as jnp
from jax import lax

_LAYOUT = ("NHWC", "HWIO", "NHWC")
_FEWEST_FEATURES = 8


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

    # Measured on a 2-core AVX-512 CPU with the compiler options of `runtime/devices.py`: forward
    # and both gradients together, batch 64. Outside these two ranges no rewriting reliably gained
    # 20 %.
    (height, width, channels), size = x_BxHxWxC.shape[1:], max(x_BxHxWxC.shape[1:3])
    dead = dilation >= size
    if stride == 1 and side > 1 and (dead or (2 * dilation >= size and channels >= 128)):
        # If dead, only the centre reads more than padding: 8 to 50 times faster on 8x8. Between
        # half the map and that, many taps read half of it or less: 1.3 to 2.4 times faster, but
        # slower with 64 channels, no gain at dilation 2 on 8x8. They compile 4 times longer.
        def on_cpu(x, kernel):
            return _convolve_live_taps(x, kernel, dilation)
    elif stride == 2 and dilation == 1 and -(-size // 2) < side <= min(height, width):
        # The native input gradient falls off a cliff if the kernel is larger than the output:
        # rewritten, 5x5 on 8x8 and 3x3 on 4x4 are 5 to 12 times faster. On larger maps, and for
        # 5x5 on 4x4, the native operator is.
        on_cpu = _convolve_space_to_depth
    elif kernel_KxKxCxF.shape[3] < _FEWEST_FEATURES:

        def on_cpu(x, kernel):
            return _convolve_widened(x, kernel, stride, dilation)
    else:
        return native(x_BxHxWxC, kernel_KxKxCxF)
    return _per_platform(on_cpu, native, x_BxHxWxC, kernel_KxKxCxF)


def _convolve_widened(
    x_BxHxWxC: jax.Array, kernel_KxKxCxF: jax.Array, stride: int, dilation: int
) -> jax.Array:
    """`convolve_native` with zero features added and cut off again.

    With so few features the CPU's native operator shares each output value's additions out over
    its threads, so that the last bits would depend on the number of cores and of devices.
    """
    count = kernel_KxKxCxF.shape[3]
    missing = ((0, 0), (0, 0), (0, 0), (0, _FEWEST_FEATURES - count))
    wide = convolve_native(
        x_BxHxWxC, jnp.pad(kernel_KxKxCxF, missing), stride=stride, dilation=dilation
    )
    return wide[..., :count]


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
    return _per_platform(
        _convolve_transpose_phases, convolve_transpose_native, x_BxHxWxC, kernel_4x4xCxF
    )


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
    if kernel_3x3xCxF.shape[3] < _FEWEST_FEATURES:  # see `_convolve_widened`
        return convolve(_double_nearest(x_BxHxWxC), kernel_3x3xCxF)

    # The nine taps read only four different pixels for an output, so four products do on CPU;
    # `benchmarks.operators --generator residual` times them.
    def on_cpu(x, kernel):
        return _convolve_transpose_phases(x, _transposed_kernel(kernel))

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
        dimension_numbers=_LAYOUT,
    )


def convolve_inner(
    x_BxHxWxC: jax.Array, kernel_KxKxCxF: jax.Array, *, stride: int = 1, dilation: int = 1
) -> jax.Array:
    """As `convolve`, but nothing is padded: only outputs whose every tap lies in the input."""
    return lax.conv_general_dilated(
        x_BxHxWxC,
        kernel_KxKxCxF,
        window_strides=(stride, stride),
        padding="VALID",
        rhs_dilation=(dilation, dilation),
        dimension_numbers=_LAYOUT,
    )


def convolve_transpose_native(x_BxHxWxC: jax.Array, kernel_4x4xCxF: jax.Array) -> jax.Array:
    """`convolve_transpose` as one XLA convolution on every platform, without its checks."""
    return lax.conv_general_dilated(
        x_BxHxWxC,
        jnp.flip(kernel_4x4xCxF, (0, 1)),
        window_strides=(1, 1),
        padding=((2, 2), (2, 2)),
        lhs_dilation=(2, 2),
        dimension_numbers=_LAYOUT,
    )


def convolve_doubled_native(x_BxHxWxC: jax.Array, kernel_3x3xCxF: jax.Array) -> jax.Array:
    """`convolve_doubled` as a repetition and one XLA convolution, without its checks."""
    return convolve_native(_double_nearest(x_BxHxWxC), kernel_3x3xCxF)


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


def _live(size: int, offset: int) -> tuple[slice, slice] | None:
    """Outputs, and the inputs they read, for which `output + offset` lies inside the map."""
    start, stop = max(0, -offset), min(size, size - offset)
    if start >= stop:
        return None
    return slice(start, stop), slice(start + offset, stop + offset)


def _off_centre_taps(height: int, width: int, side: int, dilation: int) -> Iterator[tuple]:
    """Off-centre taps that read more than padding; their output and input rows and columns."""
    centre = side // 2
    for tap in itertools.product(range(side), repeat=2):
        rows = _live(height, dilation * (tap[0] - centre))
        columns = _live(width, dilation * (tap[1] - centre))
        if tap != (centre, centre) and rows and columns:
            yield tap, (rows[0], columns[0]), (rows[1], columns[1])


def _convolve_live_taps(x: jax.Array, kernel: jax.Array, dilation: int) -> jax.Array:
    """One matrix product per tap, over the pixels where the tap does not read padding."""
    height, width = x.shape[1:3]
    side = kernel.shape[0]
    # Sums are kept in float32, as the native operator keeps them.
    product = functools.partial(jnp.einsum, "bhwc,cf->bhwf", preferred_element_type=jnp.float32)
    y = product(x, kernel[side // 2, side // 2])
    for tap, (out_rows, out_columns), (rows, columns) in _off_centre_taps(
        height, width, side, dilation
    ):
        # An update in place, not a sum of padded products: XLA would fuse that sum into each of
        # its readers and compute it anew for every tap of the gradient.
        y = y.at[:, out_rows, out_columns].add(product(x[:, rows, columns], kernel[tap]))
    return y.astype(x.dtype)


def _convolve_space_to_depth(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Stride 2 as stride 1 over 2x2 blocks of pixels, each block one pixel of 4C channels."""
    height, width = x.shape[1:3]
    side, _, channels, features = kernel.shape
    pad = side // 2
    before, after = -(-pad // 2), pad // 2  # blocks on either side of the centre block
    blocks = before + 1 + after
    # An odd side gets a row or column of the zeros that the padding holds anyway.
    x = jnp.pad(x, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)))
    x = jnp.concatenate([x[:, i::2, j::2] for i in (0, 1) for j in (0, 1)], axis=3)
    front = 2 * before - pad
    margin = (front, 2 * blocks - side - front)
    kernel = jnp.pad(kernel, (margin, margin, (0, 0), (0, 0)))
    kernel = kernel.reshape(blocks, 2, blocks, 2, channels, features).transpose(0, 2, 1, 3, 4, 5)
    return lax.conv_general_dilated(
        x,
        kernel.reshape(blocks, blocks, 4 * channels, features),
        window_strides=(1, 1),
        padding=((before, after), (before, after)),
        dimension_numbers=_LAYOUT,
    )


def _convolve_transpose_phases(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Outputs of equal parity (i, j) are a 2x2 stride-1 convolution of the input; interleave."""
    batch, height, width, _ = x.shape
    mirrored = jnp.flip(kernel, (0, 1))

    def phase(i: int, j: int) -> jax.Array:
        return lax.conv_general_dilated(
            x,
            mirrored[i::2, j::2],
            window_strides=(1, 1),
            padding=((1 - i, i), (1 - j, j)),
            dimension_numbers=_LAYOUT,
        )

    # One axis at a time: a mesh with explicit axes refuses a reshape that merges two pairs.
    rows = [jnp.stack([phase(i, 0), phase(i, 1)], axis=3) for i in (0, 1)]
    rows = [row.reshape(batch, height, 2 * width, -1) for row in rows]
    return jnp.stack(rows, axis=2).reshape(batch, 2 * height, 2 * width, -1)
