"""The completion network at inference, computed only where the holes can see.

The layers are those of `completion.py` with batch normalisation folded in. Each one computes an
extent of its feature map, as large as the layers after it need; that of the output is the hole. The
result is the whole network's, to rounding, because an extent holds everything that the next one
reads, and zeros where a whole feature map would be padded with zeros.
"""

from __future__ import annotations

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from glcic_jax.inpainting.geometry import Extent, Plan
from glcic_jax.networks import operators
from glcic_jax.networks.completion import to_image
from glcic_jax.networks.contrast import REACH, local_contrast, normalised
from glcic_jax.networks.folding import Folded
from glcic_jax.networks.interface import Generator, Layer

_OUTPUT = Layer("output", 3)


def complete_partly(
    generator: Generator,
    plan: Plan,
    folded: dict[str, Folded],
    filled_BxHxWx3: jax.Array,
    mask_BxHxWx1: jax.Array,
    starts_Ex2: jax.Array,
    cells_2: jax.Array,
) -> jax.Array:
    """The network's raw output over a hole.

    Args:
        generator: the network's shape (static); one that has `layers`.
        plan: the extents (static).
        folded: its layers, see `folding.fold`.
        filled_BxHxWx3: float32, `plan.seen` of the image with its holes filled.
        mask_BxHxWx1: float32, the same of the mask.
        starts_Ex2: int32, see `geometry.extent_starts`.
        cells_2: int32, cells of the image.

    Returns:
        float32 output_BxHxWx3 in [0, 1], the last extent of the plan.
    """
    cell = generator.multiple
    seen, scale_of_output = _see(generator, plan, filled_BxHxWx3, mask_BxHxWx1, starts_Ex2, cells_2)
    starts = starts_Ex2[1:]
    inner = (starts_Ex2[1] - starts_Ex2[0]) * cell
    x = jnp.concatenate([seen, mask_BxHxWx1], -1).astype(generator.dtype)
    x = _cut(x, inner, plan.extents[0], cell)
    x = _zero_outside(x, plan, plan.extents[0], starts[0], cells_2)
    # How many pixels of the feature map a cell spans.
    scale = cell
    kept, kept_from = x, 0  # the input of the residual block, and the number of its extent
    for number, layer in enumerate((*chain(generator), _OUTPUT)):
        have, want = plan.extents[number : number + 2]
        if layer.opens or layer.residual:
            kept, kept_from = x, number
        offset = (starts[number + 1] - starts[number]) * scale
        kernel, bias = (part.astype(generator.dtype) for part in folded[layer.name])
        y = _apply(layer, x, kernel, offset, scale, have, want) + bias
        scale = 2 * scale if layer.doubles else scale // layer.stride
        if layer is _OUTPUT:
            x = y.astype(jnp.float32)
            break
        y = y if layer.closes else nn.relu(y)
        x = _zero_outside(y, plan, want, starts[number + 1], cells_2)
        if layer.closes or layer.residual:
            offset = (starts[number + 1] - starts[kept_from]) * scale
            x = x + _cut(kept, offset, want, scale)
    offset = (starts_Ex2[-1] - starts_Ex2[0]) * cell
    filled = _cut(filled_BxHxWx3, offset, plan.extents[-1], cell)
    if scale_of_output is not None:
        scale_of_output = _cut(scale_of_output, offset, plan.extents[-1], cell)
    return to_image(generator.fill, filled, x, scale_of_output, train=False)


def _see(
    generator: Generator,
    plan: Plan,
    filled_BxHxWx3: jax.Array,
    mask_BxHxWx1: jax.Array,
    starts_Ex2: jax.Array,
    cells_2: jax.Array,
) -> tuple[jax.Array, jax.Array | None]:
    """`completion.seen_by_network` of a window, which may stick out of the image."""
    if generator.contrast == "absolute":
        return filled_BxHxWx3, None
    ones = jnp.ones_like(mask_BxHxWx1)
    inside = _zero_outside(ones, plan, plan.seen, starts_Ex2[0], cells_2)
    found = local_contrast(filled_BxHxWx3, mask_BxHxWx1, inside)
    return normalised(filled_BxHxWx3, found), found.scale


def reach(generator: Generator) -> int:
    """Pixels around what the first layer reads that decide how it sees it."""
    return 0 if generator.contrast == "absolute" else REACH


def chain(generator: Generator) -> tuple[Layer, ...]:
    """All layers but the last of a network that can be computed in parts.

    Raises:
        ValueError: it can only be computed whole.
    """
    layers = generator.layers()
    if layers is None:
        raise ValueError(f"{type(generator).__name__} can only be computed whole")
    return layers


def _apply(
    layer: Layer,
    x: jax.Array,
    kernel: jax.Array,
    offset_2: jax.Array,
    scale: int,
    have: Extent,
    want: Extent,
) -> jax.Array:
    """The layer's convolution over the extent `want`, from its input over `have`."""
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
    x: jax.Array, offset_2: jax.Array, extent: Extent, scale: int, border: int = 0
) -> jax.Array:
    """`extent` out of x, where it begins at `offset_2`, with a border; zeros where x ends."""
    sizes = [length * scale + 2 * border for length in extent.size]
    if border:
        x = jnp.pad(x, ((0, 0), (border, border), (border, border), (0, 0)))
    start = (0, offset_2[0], offset_2[1], 0)
    return lax.dynamic_slice(x, start, (x.shape[0], *sizes, x.shape[3]))


def _zero_outside(
    x: jax.Array, plan: Plan, extent: Extent, start_2: jax.Array, cells_2: jax.Array
) -> jax.Array:
    inside = []
    for axis, padded in enumerate(plan.padded):
        if padded:
            scale = x.shape[1 + axis] // extent.size[axis]
            position = jnp.arange(x.shape[1 + axis]) + start_2[axis] * scale
            shape = (-1, 1, 1) if axis == 0 else (-1, 1)
            inside.append((position < cells_2[axis] * scale).reshape(shape))
    if not inside:
        return x
    return jnp.where(functools.reduce(jnp.logical_and, inside), x, jnp.zeros((), x.dtype))
