"""The stages of holes, in ONNX and on the host."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
from onnx import helper

from glcic_jax.export.onnx_depths import hole_stages, most_halvings
from glcic_jax.export.onnx_graph import BOOL, FLOAT, INT, OPSET, Graph
from glcic_jax.imaging import depths
from glcic_jax.inpainting import stages

LEVELS, DEEPEST = 4, 2.5


@pytest.fixture(scope="module")
def session():
    """From a bool hole to the most halvings of its image and to its stages."""
    graph = Graph()
    most = most_halvings(graph, "hole", DEEPEST, LEVELS)
    names = [most, hole_stages(graph, "hole", DEEPEST, most, LEVELS)]
    hole = helper.make_tensor_value_info("hole", BOOL, ["N", 1, "H", "W"])
    outputs = [
        helper.make_tensor_value_info(name, kind, None)
        for name, kind in zip(names, (INT, FLOAT), strict=True)
    ]
    inside = helper.make_graph(graph.nodes, "depths", [hole], outputs, graph.constants)
    model = helper.make_model(inside, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9)
    return onnxruntime.InferenceSession(model.SerializeToString())


@pytest.mark.parametrize("size", [(15, 40), (31, 90), (32, 32), (64, 63), (64, 70), (256, 260)])
def test_they_are_those_of_the_host(session, size):
    """Squares of every depth up to the deepest that counts, some at the border, and scratches."""
    rng = np.random.default_rng(size[0])
    hole_BxHxW = np.zeros((3, *size), bool)
    for hole_HxW in hole_BxHxW:
        for side in rng.permutation(np.arange(1, min(size) // 2)):
            top, left = (int(rng.integers(0, length - side + 1)) for length in size)
            if hole_HxW.mean() < 0.3:
                hole_HxW[top : top + side, left : left + side] = True
        hole_HxW[:, 7] |= rng.random(size[0]) < 0.8
        hole_HxW[-1, -1] = False
    most, stage = session.run(None, {"hole": hole_BxHxW[:, None]})
    wanted = min(depths.most_halvings(*size, DEEPEST), LEVELS)
    assert int(most[0]) == wanted
    for found_HxW, hole_HxW in zip(stage[:, 0], hole_BxHxW, strict=True):
        np.testing.assert_array_equal(found_HxW, stages.hole_stages(hole_HxW, DEEPEST, wanted))
    assert stage.max() == 1 + wanted


def test_a_hole_that_winds_is_one(session):
    """A deep end, a diagonal of single pixels, and a scratch that turns twice."""
    hole = np.zeros((64, 64), bool)
    hole[4:12, 4:12] = True
    diagonal = np.arange(12, 40)
    hole[diagonal, diagonal] = True
    hole[39, 39:60] = hole[39:60, 59] = hole[59, 20:60] = True
    _, stage = session.run(None, {"hole": hole[None, None]})
    np.testing.assert_array_equal(stage[0, 0], np.where(hole, 2, 0))
    np.testing.assert_array_equal(stage[0, 0], stages.hole_stages(hole, DEEPEST, 2))
