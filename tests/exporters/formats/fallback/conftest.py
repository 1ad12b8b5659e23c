from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from edgehybrid.exporters.model import Graph

HALF = numpy_helper.from_array(np.array(0.5, np.float32), "half")
Values = list[tuple[str, type, tuple[int | str, ...]]]


def graph_of(nodes: list[onnx.NodeProto], inputs: Values, outputs: Values, *known: onnx.TensorProto) -> Graph:
    """A small graph."""
    first, last = (
        [helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(np.dtype(d)), s) for n, d, s in side]
        for side in (inputs, outputs)
    )
    held = helper.make_graph(nodes, "small", first, last, list(known))
    model = helper.make_model(held, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    return Graph(proto=model)


@pytest.fixture(scope="session")
def sinh() -> Graph:
    """A hyperbolic sine, which our own writer refuses."""
    node = helper.make_node("Sinh", ["x"], ["y"], name="the-one")
    return graph_of([node], [("x", np.float32, ("batch", 6))], [("y", np.float32, ("batch", 6))])


@pytest.fixture(scope="session")
def sinh_by_hand() -> Graph:
    """``(exp(x) - exp(-x)) / 2`` with the names that litert-torch gives: what it could have written for ``sinh``."""
    nodes = [
        helper.make_node("Exp", ["args_0"], ["up"]),
        helper.make_node("Neg", ["args_0"], ["n"]),
        helper.make_node("Exp", ["n"], ["down"]),
        helper.make_node("Sub", ["up", "down"], ["both"]),
        helper.make_node("Mul", ["both", "half"], ["output_0"]),
    ]
    return graph_of(nodes, [("args_0", np.float32, (1, 6))], [("output_0", np.float32, (1, 6))], HALF)
