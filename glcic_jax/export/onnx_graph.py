"""A small writer of ONNX graphs: one call for each node, constants and subgraphs where they belong.

Values are named by strings, as in ONNX itself. A subgraph, of a loop or a condition, reads whatever
values of the graphs around it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FLOAT, INT, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL
"""Types of values."""
OPSET = 18
"""Version of the operators: the first whose ScatterElements takes a maximum."""

Body = Callable[..., Sequence[str]]
"""From a `Graph` and the names of its inputs to those of its outputs."""


class Graph:
    """Nodes in the order of their computation; `inside` makes the graphs within it."""

    def __init__(self, around: Graph | None = None):
        self._around = around
        self._root: Graph = self if around is None else around._root
        self._count = 0
        self._known: dict[tuple, str] = {}
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Add a node with one output; the name of that. An input "" is left out."""
        return self.ops(kind, 1, *inputs, **attributes)[0]

    def ops(self, kind: str, count: int, *inputs: str, **attributes: Any) -> list[str]:
        """Add a node with `count` outputs; their names."""
        outputs = [self._name(kind) for _ in range(count)]
        self.nodes.append(helper.make_node(kind, inputs, outputs, **attributes))
        return outputs

    def constant(self, values: Any, dtype: Any = np.float32) -> str:
        """An array of float32, int64 or bool; equal ones are kept once."""
        array = np.asarray(values, dtype)
        key = (array.shape, array.dtype.str, array.tobytes())
        holder: Graph | None = self
        while holder is not None:
            if key in holder._known:
                return holder._known[key]
            holder = holder._around
        name = self._known[key] = self._name("constant")
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def ints(self, *values: int) -> str:
        """An int64 vector."""
        return self.constant(values, np.int64)

    def number(self, value: int) -> str:
        """An int64 scalar."""
        return self.constant(value, np.int64)

    def loop(self, trips: str, go_on: str, states: Sequence[str], body: Body) -> list[str]:
        """Repeat `body` and return the states after it.

        Args:
            trips: int64 scalar, how often at most; "" no limit.
            go_on: bool scalar, whether to begin; "" always.
            states: float32 values of any shape, which may change from turn to turn.
            body: gets a graph, the number of the turn and the states; returns the states after it.
                Where `go_on` is given, whether to go on stands before them.
        """
        inner = self.inside()
        turn, before = inner._name("turn"), inner._name("go_on")
        inputs = [inner._name("state") for _ in states]
        results = list(body(inner, turn, *inputs))
        if not go_on:
            results.insert(0, inner.op("Identity", before))
        # A node's outputs only: a graph may not hand out what it was given, nor anything twice.
        results = [inner.op("Identity", value) for value in results]
        infos = [helper.make_tensor_value_info(turn, INT, []), _any(before, BOOL, [])]
        graph = helper.make_graph(
            inner.nodes,
            inner._name("body"),
            infos + [_any(name) for name in inputs],
            [_any(results[0], BOOL, [])] + [_any(name) for name in results[1:]],
            inner.constants,
        )
        return self.ops("Loop", len(states), trips, go_on, *states, body=graph)

    def either(self, condition: str, then: Body, otherwise: Body) -> str:
        """One float32 value of two graphs, by a bool scalar. The other one is not computed."""
        branches = {}
        for name, body in (("then_branch", then), ("else_branch", otherwise)):
            inner = self.inside()
            (result,) = body(inner)
            result = inner.op("Identity", result)
            branches[name] = helper.make_graph(
                inner.nodes, inner._name("branch"), [], [_any(result)], inner.constants
            )
        return self.op("If", condition, **branches)

    def inside(self) -> Graph:
        """A graph within this one."""
        return Graph(self)

    def _name(self, kind: str) -> str:
        self._root._count += 1
        return f"{kind}_{self._root._count}"


def _any(name: str, kind: int = FLOAT, shape: Sequence[int] | None = None) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)
