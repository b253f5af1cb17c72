"""Local brightness and contrast in ONNX: what `networks/contrast.py` does, for whole images."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from glcic_jax.export.onnx_graph import Graph
from glcic_jax.networks import contrast


class Found(NamedTuple):
    """Names of the values of a `contrast.Contrast`: (N, 3, H, W), (N, 1, H, W), (N, 3, H, W)."""

    mean: str
    total: str
    scale: str


def local_contrast(graph: Graph, filled: str, missing: str) -> Found:
    """See `contrast.local_contrast`; of images whose sides divide by its cells.

    Args:
        graph: to add to.
        filled: float32 (N, 3, H, W) in [0, 1].
        missing: float32 (N, 1, H, W), 1 is the hole.
    """
    add, sub, mul, div = (_binary(graph, kind) for kind in ("Add", "Sub", "Mul", "Div"))
    constant = graph.constant
    zero, one = constant(0.0), constant(1.0)
    weight = sub(one, mul(constant(1.0 - contrast.HOLE_WEIGHT), missing))
    image = sub(filled, constant(0.5))
    luma = to_luma_chroma(graph, image)
    parts = [mul(weight, image), mul(weight, mul(luma, luma)), weight, sub(one, missing)]
    cell = [contrast.CELL] * 2
    cells = graph.op(
        "AveragePool", graph.op("Concat", *parts, axis=1), kernel_shape=cell, strides=cell
    )
    mean, square, norm, share = graph.ops(
        "Split", 4, _smooth(graph, cells), graph.ints(3, 3, 1, 1), axis=1
    )
    # Of a cell in the middle of known ones it is 1; less where the window reaches out of the image.
    inside = _smooth(graph, add(mul(_part(graph, cells, 6), zero), one))
    least = constant(1e-6)
    norm, inside = graph.op("Max", norm, least), graph.op("Max", inside, least)
    mean, square, share = div(mean, norm), div(square, norm), div(share, inside)
    of_mean = to_luma_chroma(graph, mean)
    variance = sub(sub(square, mul(of_mean, of_mean)), constant(contrast.NOISE))
    found = graph.op("Concat", mean, graph.op("Max", variance, zero), share, axis=1)
    found = _enlarge(graph, found)
    mean, variance, share = graph.ops("Split", 3, found, graph.ints(3, 3, 1), axis=1)
    shares = constant(np.reshape([1.0, 2 / 3, 1.0], (1, 3, 1, 1)))
    total = graph.op("Sqrt", graph.op("ReduceSum", mul(variance, shares), graph.ints(1)))
    channel = graph.op("Sqrt", variance)
    own = add(add(channel, mul(constant(contrast.FADE), total)), least)
    scale = div(div(mul(total, channel), own), constant(contrast.GAIN))
    enough = graph.op("Min", div(share, constant(contrast.ENOUGH)), one)
    return Found(add(mean, constant(0.5)), total, mul(scale, mul(enough, enough)))


def normalised(graph: Graph, filled: str, found: Found) -> str:
    """See `contrast.normalised`."""
    add, sub, mul, div = (_binary(graph, kind) for kind in ("Add", "Sub", "Mul", "Div"))
    above = mul(graph.constant(contrast.GAIN), sub(filled, found.mean))
    scaled = div(above, add(found.total, graph.constant(contrast.LEAST)))
    return add(graph.constant(0.5), scaled)


def restored(graph: Graph, residual: str, found: Found) -> str:
    """See `contrast.restored`."""
    scaled = graph.op("Mul", found.scale, to_luma_chroma(graph, residual))
    luma, orange, green = graph.ops("Split", 3, scaled, graph.ints(1, 1, 1), axis=1)
    below = graph.op("Sub", luma, green)
    parts = (
        graph.op("Add", below, orange),
        graph.op("Add", luma, green),
        graph.op("Sub", below, orange),
    )
    return graph.op("Concat", *parts, axis=1)


def to_luma_chroma(graph: Graph, image: str) -> str:
    """R, G, B -> Y, Co, Cg of (N, 3, H, W), see `contrast.to_luma_chroma`."""
    add, sub, mul = (_binary(graph, kind) for kind in ("Add", "Sub", "Mul"))
    red, green, blue = graph.ops("Split", 3, image, graph.ints(1, 1, 1), axis=1)
    red, blue = sub(red, green), sub(blue, green)
    quarter = mul(graph.constant(0.25), add(red, blue))
    orange = mul(graph.constant(0.5), sub(red, blue))
    return graph.op("Concat", add(green, quarter), orange, graph.op("Neg", quarter), axis=1)


def _smooth(graph: Graph, cells: str) -> str:
    """The Gaussian over cells, zeros outside; each channel for itself."""
    window, radius = contrast.gaussian_window(), contrast.RADIUS
    # Channels as images of a batch: one kernel for all.
    flat = graph.op("Reshape", cells, graph.ints(-1, 1, 0, 0))
    for shape, pads in (([1, 1, -1, 1], [radius, 0] * 2), ([1, 1, 1, -1], [0, radius] * 2)):
        flat = graph.op("Conv", flat, graph.constant(window.reshape(shape)), pads=pads)
    return graph.op("Reshape", flat, graph.op("Shape", cells))


def _enlarge(graph: Graph, cells: str) -> str:
    """Linear interpolation between the centres of cells, constant beyond the outer ones."""
    sides = graph.constant([1.0, 1.0, contrast.CELL, contrast.CELL])
    linear = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
    return graph.op("Resize", cells, "", sides, **linear)


def _part(graph: Graph, x: str, channel: int) -> str:
    return graph.op("Slice", x, graph.ints(channel), graph.ints(channel + 1), graph.ints(1))


def _binary(graph: Graph, kind: str) -> Callable[[str, str], str]:
    return functools.partial(graph.op, kind)
