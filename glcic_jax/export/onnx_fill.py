"""Smooth fills, halves and doubles in ONNX: what `imaging/fills.py` and `imaging/levels.py` do.

Images are float32 (N, C, H, W) of any size, holes bool (N, 1, H, W).
"""

from __future__ import annotations

import numpy as np

from glcic_jax.export.onnx_graph import FLOAT, INT, Graph
from glcic_jax.imaging import fills, levels


def size_of(graph: Graph, image: str) -> tuple[str, str]:
    """Height and width as int64 vectors of one number."""
    height = graph.op("Shape", image, start=2, end=3)
    return height, graph.op("Shape", image, start=3, end=4)


def double(graph: Graph, image: str, **attributes: object) -> str:
    """Twice the size; the border is repeated. `attributes` of Resize: linear unless they say so."""
    return graph.op(
        "Resize",
        image,
        "",
        graph.constant([1.0, 1.0, 2.0, 2.0]),
        **({"mode": "linear", "coordinate_transformation_mode": "half_pixel"} | attributes),
    )


def halve(graph: Graph, image: str, known: str) -> tuple[str, str]:
    """Means of the known pixels of each cell of 2x2, and 1 where a cell has any.

    Args:
        graph: to add to.
        image: float32, 0 where it is not known. An odd last row or column is a cell of its own.
        known: float32 (N, 1, H, W), 1 is known.
    """
    pool = {"kernel_shape": [2, 2], "strides": [2, 2], "pads": [0, 0, 1, 1]}
    four = graph.constant(4.0)
    total, count = (
        graph.op("Mul", graph.op("AveragePool", x, count_include_pad=1, **pool), four)
        for x in (image, known)
    )
    one = graph.constant(1.0)
    return graph.op("Div", total, graph.op("Max", count, one)), graph.op("Min", count, one)


def harmonic_fill(graph: Graph, image: str, hole: str, mean_pixel: np.ndarray) -> str:
    """The smooth solution of Laplace's equation in the hole, see `fills.harmonic_fill`.

    Args:
        graph: to add to.
        image: float32 in [0, 1], 0 in the hole.
        hole: bool.
        mean_pixel: fills an image with no known pixel.
    """
    known = graph.op("Cast", graph.op("Not", hole), to=FLOAT)
    pyramid = [(image, known)]
    for _ in range(fills.SYMBOLIC_HALVINGS):
        pyramid.append(halve(graph, *pyramid[-1]))
    half = graph.constant(0.5)
    mean = graph.constant(np.reshape(mean_pixel, (1, 3, 1, 1)))
    image, known = pyramid[-1]
    surface = graph.op("Where", graph.op("Greater", known, half), image, mean)
    for image, known in reversed(pyramid[:-1]):
        height, width = size_of(graph, image)
        ends = graph.op("Concat", height, width, axis=0)
        start = graph.op("Slice", double(graph, surface), graph.ints(0, 0), ends, graph.ints(2, 3))
        missing = graph.op("Less", known, half)
        start = graph.op("Where", missing, start, image)
        side = graph.op("Max", height, width)
        surface = relax(graph, start, missing, _weights(graph, side))
    zero, one = graph.constant(0.0), graph.constant(1.0)
    return graph.op("Clip", surface, zero, one)


def start_from_half(graph: Graph, completed_half: str, image: str, hole: str) -> str:
    """What stands in a hole first after the half was completed, see `levels.start_from_half`."""
    doubled = double(graph, completed_half, mode="cubic", cubic_coeff_a=-0.5)
    zero, one = graph.constant(0.0), graph.constant(1.0)
    missed = graph.op("Where", hole, zero, graph.op("Sub", image, doubled))
    missed = relax(graph, missed, hole, graph.constant(np.ones(levels.SWEEPS)))
    return graph.op("Clip", graph.op("Add", doubled, missed), zero, one)


def relax(graph: Graph, surface: str, hole: str, weights: str) -> str:
    """Sweeps in which every pixel of the hole becomes the mean of its four neighbours.

    Beyond the border stands the pixel itself. Only pixels of the hole are computed: each is a
    column of a table, and neighbours are looked up in it.

    Args:
        graph: to add to.
        surface: float32 (N, 3, H, W); what stands in the hole is the start.
        hole: bool (N, 1, H, W).
        weights: float32 vector, of each sweep: of Chebyshev's semi-iteration, or ones.
    """
    table, columns = _table(graph, surface)
    place_K = graph.op(
        "Squeeze", graph.op("NonZero", graph.op("Reshape", hole, graph.ints(-1))), graph.ints(0)
    )
    count = graph.op("Shape", place_K)
    slot_P = _slots(graph, hole, count)
    around_4xK = _neighbours(graph, surface, place_K)
    slot_4xK = graph.op("Gather", slot_P, around_4xK)
    is_known = graph.op("Equal", slot_4xK, count)
    known = graph.op("Gather", table, around_4xK, axis=1)
    zero = graph.constant(0.0)
    fixed = graph.op(
        "ReduceSum", graph.op("Where", is_known, known, zero), graph.ints(1), keepdims=0
    )
    # One more column, of zeros, stands for all known pixels.
    edge = graph.ints(0, 0, 0, 1)
    start = graph.op("Gather", table, place_K, axis=1)

    def sweep(inner: Graph, turn: str, before: str, now: str) -> tuple[str, ...]:
        found = inner.op("Gather", inner.op("Pad", now, edge), slot_4xK, axis=1)
        total = inner.op("ReduceSum", found, inner.ints(1), keepdims=0)
        mean = inner.op("Mul", inner.op("Add", total, fixed), inner.constant(0.25))
        weight = inner.op("Gather", weights, turn)
        step = inner.op("Mul", weight, inner.op("Sub", mean, before))
        return now, inner.op("Add", step, before)

    trips = graph.op("Mul", graph.op("Shape", weights), graph.op("Min", count, graph.ints(1)))
    trips = graph.op("Squeeze", trips)
    _, result = graph.loop(trips, "", [start, start], sweep)
    filled = graph.op("Gather", graph.op("Pad", result, edge), slot_P, axis=1)
    filled = graph.op("Transpose", graph.op("Reshape", filled, columns), perm=[1, 0, 2, 3])
    return graph.op("Where", hole, filled, surface)


def _table(graph: Graph, surface: str) -> tuple[str, str]:
    """An image as float32 (3, N H W), and the shape (3, N, H, W) that leads back."""
    swapped = graph.op("Transpose", surface, perm=[1, 0, 2, 3])
    return graph.op("Reshape", swapped, graph.ints(3, -1)), graph.op("Shape", swapped)


def _slots(graph: Graph, hole: str, count: str) -> str:
    """int64 (N H W): which column of the hole's table a pixel is; `count` if it is known."""
    hole_P = graph.op("Reshape", hole, graph.ints(-1))
    order = graph.op("CumSum", graph.op("Cast", hole_P, to=INT), graph.number(0))
    return graph.op("Where", hole_P, graph.op("Sub", order, graph.ints(1)), count)


def _neighbours(graph: Graph, surface: str, place_K: str) -> str:
    """int64 (4, K): the places above, below, left and right; beyond the border the same place."""
    height, width = size_of(graph, surface)
    zero, one = graph.ints(0), graph.ints(1)
    row = graph.op("Mod", graph.op("Div", place_K, width), height)
    column = graph.op("Mod", place_K, width)

    def step(condition: str, length: str) -> str:
        return graph.op("Where", condition, length, zero)

    up = step(graph.op("Greater", row, zero), width)
    down = step(graph.op("Less", row, graph.op("Sub", height, one)), width)
    left = step(graph.op("Greater", column, zero), one)
    right = step(graph.op("Less", column, graph.op("Sub", width, one)), one)
    places = [
        graph.op("Sub", place_K, up),
        graph.op("Add", place_K, down),
        graph.op("Sub", place_K, left),
        graph.op("Add", place_K, right),
    ]
    return graph.op("Concat", *(graph.op("Unsqueeze", p, zero) for p in places), axis=0)


def _weights(graph: Graph, side: str) -> str:
    """Of the sweeps of a level whose longer side is given."""
    sides = range(1, fills.LONGEST_WAVE + 1)
    table = graph.constant([fills.sweep_weights(length) for length in sides])
    row = graph.op("Sub", graph.op("Min", side, graph.ints(fills.LONGEST_WAVE)), graph.ints(1))
    return graph.op("Squeeze", graph.op("Gather", table, row), graph.ints(0))
