"""Poolings: each gives the features that it says."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edgehybrid.exporters.depth import poolings, with_features
from edgehybrid.exporters.depth.pooling import POOLINGS, size
from edgehybrid.exporters.model import Graph, open_session

Floats = NDArray[np.float64]
RNG = np.random.default_rng(0)


def _stage(shape: tuple[int, ...], *, opset: int = 18, integer: bool = False) -> Graph:
    """``cut1_0 = x``, or ``x`` quantized."""
    batch: list[str | int | None] = ["batch", *shape]
    nodes = [helper.make_node("Relu", ["x"], ["r"], name="relu")]
    weights = []
    if integer:
        weights = [
            numpy_helper.from_array(np.array(0.05, np.float32), "s"),
            numpy_helper.from_array(np.array(3, np.uint8), "z"),
        ]
        nodes.append(helper.make_node("QuantizeLinear", ["r", "s", "z"], ["cut1_0"], name="q"))
    else:
        nodes.append(helper.make_node("Identity", ["r"], ["cut1_0"], name="same"))
    kind = TensorProto.UINT8 if integer else TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        "stage",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, batch)],
        [helper.make_tensor_value_info("cut1_0", kind, batch)],
        weights,
    )
    return Graph(proto=helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9))


def _run(graph: Graph, x: NDArray[np.float32]) -> dict[str, Floats]:
    session = open_session(graph.proto)
    names = [item.name for item in session.get_outputs()]
    values = session.run(names, {"x": x})
    return {name: np.asarray(value, dtype=np.float64) for name, value in zip(names, values, strict=True)}


@pytest.mark.parametrize("integer", [False, True])
@pytest.mark.parametrize("opset", [13, 18])
@pytest.mark.parametrize("shape", [(6,), (4, 5), (3, 4, 6)])
def test_every_pooling_gives_as_many_features_as_it_says(shape: tuple[int, ...], opset: int, integer: bool) -> None:
    """Each pooling that is offered runs, on floats and on integers, and gives ``size`` features for each row."""
    stage = _stage(shape, opset=opset, integer=integer)
    kinds = poolings(stage, 1)
    outputs = _run(with_features(stage, 1, kinds), RNG.normal(size=(3, *shape)).astype(np.float32))

    assert set(POOLINGS[len(shape) + 1]) >= set(kinds) != set()
    for i, kind in enumerate(kinds):
        assert (3, size(kind, shape)) == outputs[f"features_{i}"].shape
