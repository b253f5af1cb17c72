"""The completion network at inference, computed only where the holes can see.

The layers are those of `completion.py` with batch normalisation folded in. Each one computes a
region of its feature map, and every region is as large as the layers after it need; that of the
output is the hole. The result is the whole network's, to rounding, because a region holds
everything that the next one reads, and zeros where a whole feature map would be padded with zeros.
"""

from __future__ import annotations

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from glcic_jax.inpainting.geometry import Plan, Region
from glcic_jax.networks import operators
from glcic_jax.networks.completion import CompletionNetwork, Layer
from glcic_jax.networks.folding import Folded

_OUTPUT = Layer("output", 3)


def complete_region(
    generator: CompletionNetwork,
    plan: Plan,
    folded: dict[str, Folded],
    filled_BxHxWx3: jax.Array,
    mask_BxHxWx1: jax.Array,
    starts_Rx2: jax.Array,
    cells_2: jax.Array,
) -> jax.Array:
    """The network's raw output over a hole.

    Args:
        generator: the network's shape (static).
        plan: the regions (static).
        folded: its layers, see `folding.fold`.
        filled_BxHxWx3: float32, the first region of the image with its holes filled.
        mask_BxHxWx1: float32, the same region of the mask.
        starts_Rx2: int32, the first cell of each region, see `windows.region_starts`.
        cells_2: int32, cells of the image.

    Returns:
        float32 output_BxHxWx3 in [0, 1], the last region of the plan.
    """
    cell = 2**generator.downsamples
    x = jnp.concatenate([filled_BxHxWx3, mask_BxHxWx1], -1).astype(generator.dtype)
    x = _zero_outside(x, plan, plan.regions[0], starts_Rx2[0], cells_2)
    # How many pixels of the feature map a cell spans.
    scale = cell
    kept, kept_from = x, 0  # the input of the residual block, and the number of its region
    for number, layer in enumerate((*generator.layers(), _OUTPUT)):
        have, want = plan.regions[number : number + 2]
        if layer.opens or layer.residual:
            kept, kept_from = x, number
        offset = (starts_Rx2[number + 1] - starts_Rx2[number]) * scale
        kernel, bias = (part.astype(generator.dtype) for part in folded[layer.name])
        y = _apply(layer, x, kernel, offset, scale, have, want) + bias
        scale = 2 * scale if layer.doubles else scale // layer.stride
        if layer is _OUTPUT:
            x = y.astype(jnp.float32)
            break
        y = y if layer.closes else nn.relu(y)
        x = _zero_outside(y, plan, want, starts_Rx2[number + 1], cells_2)
        if layer.closes or layer.residual:
            offset = (starts_Rx2[number + 1] - starts_Rx2[kept_from]) * scale
            x = x + _cut(kept, offset, want, scale)
    if generator.fill == "mean":
        return nn.sigmoid(x)
    offset = (starts_Rx2[-1] - starts_Rx2[0]) * cell
    return jnp.clip(_cut(filled_BxHxWx3, offset, plan.regions[-1], cell) + x, 0.0, 1.0)


def _apply(
    layer: Layer,
    x: jax.Array,
    kernel: jax.Array,
    offset_2: jax.Array,
    scale: int,
    have: Region,
    want: Region,
) -> jax.Array:
    """The layer's convolution over the region `want`, from its input over `have`."""
    if layer.doubles:
        if have.size == want.size:
            return _double(layer, x, kernel)
        x = _cut(x, offset_2, want, scale, border=1)
        return _double(layer, x, kernel)[:, 2:-2, 2:-2]
    if have.size == want.size:
        return operators.convolve(x, kernel, stride=layer.stride, dilation=layer.dilation)
    border = layer.dilation * (layer.size - 1) // 2
    return operators.convolve_inner(
        _cut(x, offset_2, want, scale, border=border),
        kernel,
        stride=layer.stride,
        dilation=layer.dilation,
    )


def _double(layer: Layer, x: jax.Array, kernel: jax.Array) -> jax.Array:
    if layer.doubles == "transposed":
        return operators.convolve_transpose(x, kernel)
    return operators.convolve_doubled(x, kernel)


def _cut(
    x: jax.Array, offset_2: jax.Array, region: Region, scale: int, border: int = 0
) -> jax.Array:
    """`region` out of x, where it begins at `offset_2`, with a border; zeros where x ends."""
    sizes = [length * scale + 2 * border for length in region.size]
    if border:
        x = jnp.pad(x, ((0, 0), (border, border), (border, border), (0, 0)))
    start = (0, offset_2[0], offset_2[1], 0)
    return lax.dynamic_slice(x, start, (x.shape[0], *sizes, x.shape[3]))


def _zero_outside(
    x: jax.Array, plan: Plan, region: Region, start_2: jax.Array, cells_2: jax.Array
) -> jax.Array:
    inside = []
    for axis, padded in enumerate(plan.padded):
        if padded:
            scale = x.shape[1 + axis] // region.size[axis]
            position = jnp.arange(x.shape[1 + axis]) + start_2[axis] * scale
            shape = (-1, 1, 1) if axis == 0 else (-1, 1)
            inside.append((position < cells_2[axis] * scale).reshape(shape))
    if not inside:
        return x
    return jnp.where(functools.reduce(jnp.logical_and, inside), x, jnp.zeros((), x.dtype))
