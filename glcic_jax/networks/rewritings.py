"""Convolutions in forms that XLA's routines for CPUs are quicker at, and the rule for them.

Each is the same linear map as the native operator and differs by rounding only. They are for CPUs
without the compiled convolutions of `glcic_jax.cpu`, for several CPU devices, and for bfloat16.
"""

import functools
import itertools
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
from jax import lax

LAYOUT = ("NHWC", "HWIO", "NHWC")
FEWEST_FEATURES = 8
"""With fewer the CPU's native operator shares the additions of each output value out over its
threads, so that the last bits would depend on the number of cores and of devices."""


def rewriting(
    x_BxHxWxC: jax.Array, kernel_KxKxCxF: jax.Array, stride: int, dilation: int
) -> Callable[[jax.Array, jax.Array], jax.Array] | None:
    """The form in which a CPU should compute `operators.convolve` of such arrays; None: the native.

    Measured on a 2-core AVX-512 CPU with the compiler options of `runtime/devices.py`: forward and
    both gradients together, batch 64. Outside the first two ranges no rewriting reliably gained
    20 %.
    """
    (height, width, channels), size = x_BxHxWxC.shape[1:], max(x_BxHxWxC.shape[1:3])
    side = kernel_KxKxCxF.shape[0]
    dead = dilation >= size
    if stride == 1 and side > 1 and (dead or (2 * dilation >= size and channels >= 128)):
        # If dead, only the centre reads more than padding: 8 to 50 times faster on 8x8. Between
        # half the map and that, many taps read half of it or less: 1.3 to 2.4 times faster, but
        # slower with 64 channels, no gain at dilation 2 on 8x8. They compile 4 times longer.
        return functools.partial(convolve_live_taps, dilation=dilation)
    if stride == 2 and dilation == 1 and -(-size // 2) < side <= min(height, width):
        # The native input gradient falls off a cliff if the kernel is larger than the output:
        # rewritten, 5x5 on 8x8 and 3x3 on 4x4 are 5 to 12 times faster. On larger maps, and for
        # 5x5 on 4x4, the native operator is.
        return convolve_space_to_depth
    if kernel_KxKxCxF.shape[3] < FEWEST_FEATURES:
        return functools.partial(convolve_widened, stride=stride, dilation=dilation)
    return None


def convolve_widened(
    x_BxHxWxC: jax.Array, kernel_KxKxCxF: jax.Array, *, stride: int, dilation: int
) -> jax.Array:
    """The native operator with zero features added and cut off again, see `FEWEST_FEATURES`."""
    side, count = kernel_KxKxCxF.shape[1], kernel_KxKxCxF.shape[3]
    missing = ((0, 0), (0, 0), (0, 0), (0, FEWEST_FEATURES - count))
    pad = dilation * (side - 1) // 2
    wide = lax.conv_general_dilated(
        x_BxHxWxC,
        jnp.pad(kernel_KxKxCxF, missing),
        window_strides=(stride, stride),
        padding=((pad, pad), (pad, pad)),
        rhs_dilation=(dilation, dilation),
        dimension_numbers=LAYOUT,
    )
    return wide[..., :count]


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


def convolve_live_taps(x_BxHxWxC: jax.Array, kernel_KxKxCxF: jax.Array, dilation: int) -> jax.Array:
    """One matrix product per tap, over the pixels where the tap does not read padding."""
    x, kernel = x_BxHxWxC, kernel_KxKxCxF
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


def convolve_space_to_depth(x_BxHxWxC: jax.Array, kernel_KxKxCxF: jax.Array) -> jax.Array:
    """Stride 2 as stride 1 over 2x2 blocks of pixels, each block one pixel of 4C channels."""
    x, kernel = x_BxHxWxC, kernel_KxKxCxF
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
        dimension_numbers=LAYOUT,
    )


def convolve_transpose_phases(x_BxHxWxC: jax.Array, kernel_4x4xCxF: jax.Array) -> jax.Array:
    """`operators.convolve_transpose`, whose outputs of equal parity (i, j) are a 2x2 convolution of
    the input: computed one by one, then interleaved."""
    x, kernel = x_BxHxWxC, kernel_4x4xCxF
    batch, height, width, _ = x.shape
    mirrored = jnp.flip(kernel, (0, 1))

    def phase(i: int, j: int) -> jax.Array:
        return lax.conv_general_dilated(
            x,
            mirrored[i::2, j::2],
            window_strides=(1, 1),
            padding=((1 - i, i), (1 - j, j)),
            dimension_numbers=LAYOUT,
        )

    # One axis at a time: a mesh with explicit axes refuses a reshape that merges two pairs.
    rows = [jnp.stack([phase(i, 0), phase(i, 1)], axis=3) for i in (0, 1)]
    rows = [row.reshape(batch, height, 2 * width, -1) for row in rows]
    return jnp.stack(rows, axis=2).reshape(batch, 2 * height, 2 * width, -1)
