"""A generator's network in ONNX, as inference needs it: normalisation folded into convolutions."""

from __future__ import annotations

from typing import Any

import numpy as np

from glcic_jax.export.onnx_contrast import local_contrast, normalised, restored
from glcic_jax.export.onnx_graph import Graph
from glcic_jax.inpainting.partial import chain
from glcic_jax.networks.folding import fold
from glcic_jax.networks.interface import Generator, Layer
from glcic_jax.networks.views import FLIPPED


class Network:
    """The convolutions of a generator that has `layers`, to be added to a graph."""

    def __init__(self, generator: Generator, variables: Any):
        self._generator = generator
        self._layers = chain(generator)
        self._folded = fold(generator, variables)
        self._mean_pixel = np.asarray(variables["constants"]["mean_pixel"], np.float32)

    def output(self, graph: Graph, filled: str, missing: str) -> str:
        """The raw output, float32 (N, 3, H, W) in [0, 1].

        Args:
            graph: to add to; the weights will be its constants.
            filled: float32 in [0, 1], the image with its hole filled.
            missing: float32 (N, 1, H, W), 1 is the hole.
        """
        seen, found = filled, None
        if self._generator.contrast == "local":
            found = local_contrast(graph, filled, missing)
            seen = normalised(graph, filled, found)
        elif self._generator.contrast == "centred":
            seen = graph.op("Sub", filled, graph.constant(self._mean_pixel.reshape(1, 3, 1, 1)))
        x = graph.op("Concat", seen, missing, axis=1)
        x = self._mean_of_views(graph, self._chain(graph, self._stack_views(graph, x)))
        if self._generator.fill == "mean":
            return graph.op("Sigmoid", x)
        if found is not None:
            x = restored(graph, x, found)
        limits = graph.constant(0.0), graph.constant(1.0)
        return graph.op("Clip", graph.op("Add", filled, x), *limits)

    def _chain(self, graph: Graph, x: str) -> str:
        kept = x
        results: dict[str, str] = {}
        for layer in self._layers:
            kept = x if layer.opens or layer.residual else kept
            y = self._convolve(graph, layer, x)
            y = y if layer.closes else self._rectify(graph, layer, y)
            y = graph.op("Add", y, results[layer.adds]) if layer.adds else y
            x = graph.op("Add", kept, y) if layer.closes or layer.residual else y
            results[layer.name] = x
        return self._convolve(graph, Layer("output", 3), x)

    def _rectify(self, graph: Graph, layer: Layer, y: str) -> str:
        y, after = graph.op("Relu", y), self._folded[layer.name].after
        if after is None:
            return y
        factor, offset = (graph.constant(np.reshape(part, (1, -1, 1, 1))) for part in after)
        return graph.op("Add", graph.op("Mul", y, factor), offset)

    def _convolve(self, graph: Graph, layer: Layer, x: str) -> str:
        kernel, bias = (np.asarray(part, np.float32) for part in self._folded[layer.name][:2])
        offset = graph.constant(bias)
        if layer.doubles == "transposed":
            weights = graph.constant(kernel.transpose(2, 3, 0, 1))
            return graph.op("ConvTranspose", x, weights, offset, strides=[2, 2], pads=[1, 1, 1, 1])
        if layer.doubles:
            nearest = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric"}
            sides = graph.constant([1.0, 1.0, 2.0, 2.0])
            x = graph.op("Resize", x, "", sides, nearest_mode="floor", **nearest)
        pad = layer.dilation * (kernel.shape[0] - 1) // 2
        return graph.op(
            "Conv",
            x,
            graph.constant(kernel.transpose(3, 2, 0, 1)),
            offset,
            strides=[layer.stride] * 2,
            dilations=[layer.dilation] * 2,
            pads=[pad] * 4,
        )

    def _stack_views(self, graph: Graph, x: str) -> str:
        views = self._generator.views
        if views == 1:
            return x
        return graph.op("Concat", *(_flip(graph, x, a) for a in FLIPPED[:views]), axis=0)

    def _mean_of_views(self, graph: Graph, y: str) -> str:
        views = self._generator.views
        if views == 1:
            return y
        parts = graph.ops("Split", views, y, axis=0, num_outputs=views)
        flipped = [_flip(graph, *pair) for pair in zip(parts, FLIPPED, strict=False)]
        return graph.op("Mean", *flipped)


def _flip(graph: Graph, x: str, axes: tuple[int, ...]) -> str:
    """Flipped along axes of NHWC, in NCHW."""
    if not axes:
        return x
    back = graph.ints(*([-1] * len(axes)))
    last = graph.ints(*([np.iinfo(np.int64).min] * len(axes)))
    return graph.op("Slice", x, back, last, graph.ints(*(axis + 1 for axis in axes)), back)
