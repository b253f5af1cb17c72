"""The completion network at inference, computed only where the holes can see.

The layers are those of the network with batch normalisation folded in. Each one computes an extent
of its feature map, as large as the layers after it need; that of the output is the tile. The result
is the whole network's, to rounding, because an extent holds everything that the next one reads, and
zeros where the image ends, as the whole feature map is padded.
"""

from __future__ import annotations

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from glcic_jax.networks import operators
from glcic_jax.networks.completion import seen_by_network, to_image
from glcic_jax.networks.contrast import (
    CELL,
    REACH,
    contrast_of_cells,
    local_contrast,
    normalised,
)
from glcic_jax.networks.folding import Folded
from glcic_jax.networks.interface import Generator, Layer
from glcic_jax.networks.views import corners_of_views, mean_of_views, stack_views

_OUTPUT = Layer("output", 3)


class Place(NamedTuple):
    """Where each of B windows lies in its image, in cells; int32.

    Attributes:
        corner_Bx2: its first row and column; below 0 where it begins outside.
        cells_Bx2: height and width of the image.
    """

    corner_Bx2: jax.Array
    cells_Bx2: jax.Array


def complete_windows(
    generator: Generator,
    margins: tuple[int, ...],
    folded: dict[str, Folded],
    mean_pixel: jax.Array,
    filled_BxHxWx3: jax.Array,
    mask_BxHxWx1: jax.Array,
    place: Place,
    cells_BxhxwxC: jax.Array | None = None,
) -> jax.Array:
    """The network's raw output over the tiles of windows.

    Args:
        generator: the network's shape (static); one that has `layers`.
        margins: cells around the tile of each layer's input, see `geometry.margins` (static). All
            zeros: the windows are whole images, in the corner of a canvas.
        folded: its layers, see `folding.fold`.
        mean_pixel: float32 of shape (3,), in [0, 1].
        filled_BxHxWx3: float32, the windows with their holes filled; anything outside the image.
        mask_BxHxWx1: float32, 1 is the hole.
        place: of the windows.
        cells_BxhxwxC: float32, `contrast.cell_sums` of the windows and of `contrast.REACH` pixels
            around them. None: of the windows alone, or not needed.

    Returns:
        float32 output_BxHxWx3 in [0, 1], the tiles.
    """
    cell, most = generator.multiple, margins[0]
    seen, scale_of_output = _see(
        generator, mean_pixel, filled_BxHxWx3, mask_BxHxWx1, place, cells_BxhxwxC
    )
    x, place = _views(generator, jnp.concatenate([seen, mask_BxHxWx1], -1), place)
    layers = chain(generator)
    across = {layer.adds for layer in layers}
    scale = cell  # how many pixels of the feature map a cell spans
    kept, kept_margin = x, most  # the input of the residual block
    results: dict[str, tuple[jax.Array, int]] = {}
    for number, layer in enumerate((*layers, _OUTPUT)):
        have, want = margins[number : number + 2]
        if layer.opens or layer.residual:
            kept, kept_margin = x, have
        kernel, bias, after = _in_type(folded[layer.name], generator.dtype)
        y = _apply(layer, x, kernel, have - want, scale) + bias
        scale = 2 * scale if layer.doubles else scale // layer.stride
        if layer is _OUTPUT:
            x = mean_of_views(y.astype(jnp.float32), generator.views)
            break
        y = y if layer.closes else _rectified(y, after)
        if layer.adds:
            other, other_margin = results[layer.adds]
            y = y + _inner(other, (other_margin - want) * scale)
        x = _zero_outside(y, place, most - want, scale)
        if layer.closes or layer.residual:
            x = x + _inner(kept, (kept_margin - want) * scale)
        if layer.name in across:
            results[layer.name] = x, want
    filled = _inner(filled_BxHxWx3, most * cell)
    if scale_of_output is not None:
        scale_of_output = _inner(scale_of_output, most * cell)
    return to_image(generator.fill, filled, x, scale_of_output, train=False)


def _in_type(folded: Folded, dtype: jnp.dtype) -> Folded:
    return jax.tree.map(lambda part: part.astype(dtype), folded)


def _rectified(y: jax.Array, after: tuple[jax.Array, jax.Array] | None) -> jax.Array:
    y = nn.relu(y)
    return y if after is None else y * after[0] + after[1]


def _views(generator: Generator, x: jax.Array, place: Place) -> tuple[jax.Array, Place]:
    """What the first layer reads, of all views, and where they lie."""
    views, cell = generator.views, generator.multiple
    side_2 = (x.shape[1] // cell, x.shape[2] // cell)
    corner = corners_of_views(place.corner_Bx2, place.cells_Bx2, side_2, views)
    place = Place(corner, jnp.tile(place.cells_Bx2, (views, 1)))
    return _zero_outside(stack_views(x.astype(generator.dtype), views), place, 0, cell), place


def _see(
    generator: Generator,
    mean_pixel: jax.Array,
    filled_BxHxWx3: jax.Array,
    mask_BxHxWx1: jax.Array,
    place: Place,
    cells_BxhxwxC: jax.Array | None,
) -> tuple[jax.Array, jax.Array | None]:
    """`completion.seen_by_network` of windows, which may stick out of their images."""
    if generator.contrast != "local":
        return seen_by_network(generator.contrast, filled_BxHxWx3, mask_BxHxWx1, mean_pixel)
    if cells_BxhxwxC is None:
        inside = _zero_outside(jnp.ones_like(mask_BxHxWx1), place, 0, generator.multiple)
        found = local_contrast(filled_BxHxWx3, mask_BxHxWx1, inside)
    else:
        found = contrast_of_cells(cells_BxhxwxC, border=REACH // CELL)
    return normalised(filled_BxHxWx3, found), found.scale


def chain(generator: Generator) -> tuple[Layer, ...]:
    """All layers but the last of a network that can be computed in parts.

    Raises:
        ValueError: it can only be computed whole.
    """
    layers = generator.layers()
    if layers is None:
        raise ValueError(f"{type(generator).__name__} can only be computed whole")
    return layers


def _apply(layer: Layer, x: jax.Array, kernel: jax.Array, less: int, scale: int) -> jax.Array:
    """The layer's convolution, over an extent that is `less` cells smaller on every side."""
    if layer.doubles:
        # A doubled pixel reads one neighbour, of which the outermost have none.
        x = _inner(x, less * scale - 1) if less else x
        y = _double(layer, x, kernel)
        return _inner(y, 2) if less else y
    if not less:
        return operators.convolve(x, kernel, stride=layer.stride, dilation=layer.dilation)
    border = layer.dilation * (layer.size - 1) // 2
    return operators.convolve_inner(
        _inner(x, less * scale - border), kernel, stride=layer.stride, dilation=layer.dilation
    )


def _double(layer: Layer, x: jax.Array, kernel: jax.Array) -> jax.Array:
    if layer.doubles == "transposed":
        return operators.convolve_transpose(x, kernel)
    return operators.convolve_doubled(x, kernel)


def _inner(x_BxHxWxC: jax.Array, less: int) -> jax.Array:
    """Without `less` pixels on every side; with zeros around it where that is below 0."""
    if less < 0:
        return jnp.pad(x_BxHxWxC, ((0, 0), (-less, -less), (-less, -less), (0, 0)))
    height, width = x_BxHxWxC.shape[1:3]
    return x_BxHxWxC[:, less : height - less, less : width - less]


def _zero_outside(x_BxHxWxC: jax.Array, place: Place, inner: int, scale: int) -> jax.Array:
    """Zeros where an extent, `inner` cells smaller than the window, sticks out of the image."""
    inside = []
    for axis in (0, 1):
        first_Bx1 = (place.corner_Bx2[:, axis, None] + inner) * scale
        position_BxN = jnp.arange(x_BxHxWxC.shape[1 + axis]) + first_Bx1
        inside.append((position_BxN >= 0) & (position_BxN < place.cells_Bx2[:, axis, None] * scale))
    is_inside_BxHxWx1 = (inside[0][:, :, None] & inside[1][:, None, :])[..., None]
    return jnp.where(is_inside_BxHxWx1, x_BxHxWxC, jnp.zeros((), x_BxHxWxC.dtype))
