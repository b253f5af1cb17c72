"""How deep holes are, in ONNX: what `imaging/depths.py` does, for images of any size."""

from __future__ import annotations

import math

from glcic_jax.export.onnx_fill import size_of
from glcic_jax.export.onnx_graph import FLOAT, INT, Graph
from glcic_jax.imaging.depths import SMALLEST


def most_halvings(graph: Graph, image: str, deepest: float, levels: int) -> str:
    """int64 vector of one number: how often an image may be halved, at most `levels`."""
    height, width = size_of(graph, image)
    short, long = graph.op("Min", height, width), graph.op("Max", height, width)
    sizes = graph.ints(*(SMALLEST * 2 ** (number + 1) for number in range(levels)))
    fit = graph.op("Cast", graph.op("GreaterOrEqual", short, sizes), to=INT)
    # The deepest hole is as deep as the image is long.
    depths = graph.constant([deepest * 2**number for number in range(levels)])
    length = graph.op("Cast", long, to=FLOAT)
    needed = graph.op("Cast", graph.op("Greater", length, depths), to=INT)
    axis = graph.ints(0)
    return graph.op("Min", graph.op("ReduceSum", fit, axis), graph.op("ReduceSum", needed, axis))


def hole_stages(graph: Graph, hole: str, deepest: float, most: str, levels: int) -> str:
    """float32 (N, 1, H, W): 1 + halvings in holes, 0 elsewhere, see `depths.hole_stages`.

    Args:
        graph: to add to.
        hole: bool (N, 1, H, W).
        deepest: depth in pixels up to which no halving is needed.
        most: most halvings, from `most_halvings`.
        levels: as given to it.
    """
    open_ = graph.op("Cast", hole, to=FLOAT)
    known = graph.op("Cast", graph.op("Not", hole), to=FLOAT)
    extra, near, radius = graph.constant(0.0), known, 0
    for number in range(levels):
        further = math.floor(deepest * 2**number) - radius
        radius += further
        near = _widen(
            graph, near, further, graph.op("Less", graph.number(number), _scalar(graph, most))
        )
        extra = graph.op("Add", extra, graph.op("Sub", graph.constant(1.0), near))
    return graph.op("Add", _flood(graph, extra, open_, known), open_)


def _widen(graph: Graph, near: str, radius: int, wanted: str) -> str:
    """1 where any pixel up to `radius` away along rows and columns is 1; all ones if not wanted,
    or if that is known beforehand."""
    one = graph.constant(1.0)
    least = graph.op("ReduceMin", near, keepdims=0)
    is_open = graph.op("And", wanted, graph.op("Less", least, one))

    def pooled(inner: Graph) -> tuple[str]:
        side = 2 * radius + 1
        rows = inner.op("MaxPool", near, kernel_shape=[side, 1], pads=[radius, 0, radius, 0])
        return (inner.op("MaxPool", rows, kernel_shape=[1, side], pads=[0, radius, 0, radius]),)

    def ones(inner: Graph) -> tuple[str]:
        return (inner.op("Max", near, one),)

    return graph.either(is_open, pooled, ones)


def _flood(graph: Graph, value: str, open_: str, known: str) -> str:
    """The largest value of each hole in all of it; 0 elsewhere.

    From pixel to pixel, and at once along each run of missing pixels in a row or column.
    """
    runs = [_runs(graph, known, axis) for axis in (2, 3)]

    def spread(inner: Graph, _: str, before: str) -> tuple[str, str]:
        near = inner.op("MaxPool", before, kernel_shape=[3, 3], pads=[1, 1, 1, 1])
        now = inner.op("Mul", near, open_)
        for axis, (number, nothing) in zip((2, 3), runs, strict=True):
            most = inner.op("ScatterElements", nothing, number, now, axis=axis, reduction="max")
            now = inner.op("Mul", inner.op("GatherElements", most, number, axis=axis), open_)
        changed = inner.op("Greater", now, before)
        found = inner.op("ReduceMax", inner.op("Cast", changed, to=FLOAT), keepdims=0)
        return inner.op("Greater", found, inner.constant(0.5)), now

    most = graph.op("ReduceMax", value, keepdims=0)
    start = graph.op("Greater", most, graph.constant(0.5))
    return graph.loop("", start, [value], spread)[0]


def _runs(graph: Graph, known: str, axis: int) -> tuple[str, str]:
    """For each pixel the number of its run of missing ones along an axis; and zeros for them all.

    A known pixel counts to the run behind it.
    """
    number = graph.op("Cast", graph.op("CumSum", known, graph.number(axis)), to=INT)
    pads = [0] * 8
    pads[4 + axis] = 1
    zeros = graph.op("Mul", known, graph.constant(0.0))
    return number, graph.op("Pad", zeros, graph.ints(*pads))


def _scalar(graph: Graph, vector: str) -> str:
    return graph.op("Squeeze", vector, graph.ints(0))
