"""A generator as one ONNX file: from an image and a mask of any size to the completed image.

Inputs `image`, float32 (N, 3, H, W) in [0, 1], and `mask`, float32 (N, 1, H, W), 1 is the hole;
output `completed`, as the image. It does what `inpainting/coarse_to_fine.complete` does: the same
fills, sizes and network, with a loop in place of a recursion.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import helper

from glcic_jax.export.onnx_depths import hole_stages, most_halvings
from glcic_jax.export.onnx_fill import halve, harmonic_fill, size_of, start_from_half
from glcic_jax.export.onnx_graph import FLOAT, INT, OPSET, Graph
from glcic_jax.export.onnx_network import Network
from glcic_jax.networks.interface import Generator

_IR_VERSION = 9
"""Of the file format; the one that ONNX 1.14 wrote, so that older runtimes read it."""


def onnx_model(generator: Generator, variables: Any, levels: int) -> onnx.ModelProto:
    """The whole completion as a model.

    Args:
        generator: one that has `layers`.
        variables: as `load_generator` returns them.
        levels: most halvings of an image; not read where `generator.deepest` is 0.
    """
    graph = Graph()
    completion = _Completion(generator, variables, levels if generator.deepest else 0)
    completed = completion.add_to(graph, "image", "mask")
    graph.nodes.append(helper.make_node("Identity", [completed], ["completed"]))
    values = [
        helper.make_tensor_value_info(name, FLOAT, ["N", channels, "H", "W"])
        for name, channels in (("image", 3), ("mask", 1), ("completed", 3))
    ]
    inside = helper.make_graph(graph.nodes, "glcic_jax", values[:2], values[2:], graph.constants)
    return helper.make_model(
        inside,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=_IR_VERSION,
        producer_name="glcic_jax",
    )


class _Completion:
    def __init__(self, generator: Generator, variables: Any, levels: int):
        self._generator = generator
        self._network = Network(generator, variables)
        self._mean_pixel = np.asarray(variables["constants"]["mean_pixel"], np.float32)
        self._levels = levels

    def add_to(self, graph: Graph, image: str, mask: str) -> str:
        """The completed image; known pixels are those of `image`."""
        hole = graph.op("Greater", mask, graph.constant(0.5))
        known_image = graph.op("Where", hole, graph.constant(0.0), image)
        complete = self._coarse_to_fine if self._levels else self._one_pass
        completed = complete(graph, known_image, hole)
        margin = self._generator.mirror_margin
        first = graph.ints(margin, margin)
        ends = graph.op("Add", graph.op("Concat", *size_of(graph, image), axis=0), first)
        completed = graph.op("Slice", completed, first, ends, graph.ints(2, 3))
        return graph.op("Where", hole, completed, image)

    def _coarse_to_fine(self, graph: Graph, image: str, hole: str) -> str:
        """The continued image completed."""
        deepest, levels = self._generator.deepest, self._levels
        most = most_halvings(graph, hole, deepest, levels)
        stage = hole_stages(graph, hole, deepest, most, levels)
        powers = graph.ints(*(self._generator.multiple * 2**n for n in range(levels + 1)))
        multiple = graph.op("Gather", powers, most)
        margin = self._generator.mirror_margin
        known = graph.op("Cast", graph.op("Not", hole), to=FLOAT)
        # What is padded to a hole at the border belongs to it; holes of the mirror image are
        # surroundings only.
        pads = _pads(graph, stage, margin, multiple)
        stage = graph.op("Pad", stage, pads, **({} if margin else {"mode": "edge"}))
        image, known = (_continue_mirrored(graph, x, margin, multiple) for x in (image, known))
        # Of the deepest hole this is the number of sizes; without a hole there is nothing to do.
        sizes = graph.op("Cast", graph.op("ReduceMax", stage, keepdims=0), to=INT)
        last = graph.op("Sub", sizes, graph.number(1))

        def one_size(inner: Graph, turn: str, half: str) -> tuple[str]:
            left = inner.op("Sub", last, turn)
            small, seen, of_size = inner.loop(left, "", [image, known, stage], _half_stage)
            is_first = inner.op("Equal", turn, inner.number(0))
            return (self._one_size(inner, small, seen, of_size, half, is_first),)

        return graph.loop(sizes, "", [image], one_size)[0]

    def _one_size(
        self, graph: Graph, image: str, known: str, stage: str, half: str, is_first: str
    ) -> str:
        """The image completed at one size; `half` is that of the size before, but for the first."""
        hole = graph.op("Less", known, graph.constant(0.5))
        is_deeper = graph.op("Greater", stage, graph.constant(1.5))
        smooth = harmonic_fill(graph, image, hole, self._mean_pixel)

        def risen(inner: Graph) -> tuple[str]:
            start = start_from_half(inner, half, image, hole)
            return (inner.op("Where", is_deeper, start, smooth),)

        start = graph.either(is_first, lambda _: (smooth,), risen)
        output = self._network.output(graph, start, graph.op("Cast", hole, to=FLOAT))
        if not self._generator.refines:
            output = graph.op("Where", is_deeper, start, output)
        is_wanted = graph.op("Greater", stage, graph.constant(0.5))
        return graph.op("Where", is_wanted, output, start)

    def _one_pass(self, graph: Graph, image: str, hole: str) -> str:
        margin, multiple = self._generator.mirror_margin, graph.ints(self._generator.multiple)
        missing = graph.op("Cast", hole, to=FLOAT)
        image, missing = (_continue_mirrored(graph, x, margin, multiple) for x in (image, missing))
        hole = graph.op("Greater", missing, graph.constant(0.5))
        mean_pixel = graph.constant(self._mean_pixel.reshape(1, 3, 1, 1))
        if self._generator.fill == "mean":
            filled = graph.op("Where", hole, mean_pixel, image)
        else:
            filled = harmonic_fill(graph, image, hole, self._mean_pixel)
        return self._network.output(graph, filled, missing)


def _continue_mirrored(graph: Graph, x: str, margin: int, multiple: str) -> str:
    """As `values.continue_mirrored`, of an image or what is known of it."""
    pads = _pads(graph, x, margin, multiple)
    if margin == 0:
        return graph.op("Pad", x, pads, mode="edge")
    for axis, length in zip((2, 3), size_of(graph, x), strict=True):
        turn = graph.op("Add", length, length)
        after = graph.op("Gather", pads, graph.ints(4 + axis))
        stop = graph.op("Squeeze", graph.op("Add", length, after), graph.ints(0))
        steps = graph.op("Range", graph.number(-margin), stop, graph.number(1))
        place = graph.op("Mod", steps, turn)
        back = graph.op("Sub", graph.op("Sub", turn, graph.ints(1)), place)
        x = graph.op("Gather", x, graph.op("Min", place, back), axis=axis)
    return x


def _half_stage(graph: Graph, _: str, image: str, known: str, stage: str) -> tuple[str, str, str]:
    """Image, known pixels and stages at half the size, see `depths.halve_stages`."""
    small, seen = halve(graph, image, known)
    zero, one = graph.constant(0.0), graph.constant(1.0)
    less = graph.op("Max", graph.op("Sub", stage, one), zero)
    most = graph.op("MaxPool", less, kernel_shape=[2, 2], strides=[2, 2])
    return small, seen, graph.op("Where", graph.op("Less", seen, graph.constant(0.5)), most, zero)


def _pads(graph: Graph, image: str, margin: int, multiple: str) -> str:
    """What Pad adds: a margin around, and so much below and to the right that both sides divide."""
    both, after = graph.ints(2 * margin), []
    for side in size_of(graph, image):
        rest = graph.op("Mod", graph.op("Neg", graph.op("Add", side, both)), multiple)
        after.append(graph.op("Add", rest, graph.ints(margin)))
    return graph.op("Concat", graph.ints(0, 0, margin, margin, 0, 0), *after, axis=0)
