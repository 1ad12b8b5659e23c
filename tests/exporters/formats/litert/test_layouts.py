from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("ai_edge_litert", reason="the extra export-tflite is not installed")

import onnx
from onnx import TensorProto, helper, numpy_helper

from benchmarks.hardware.operators import weights
from edgehybrid.exporters.formats.litert import convert
from edgehybrid.exporters.model import Graph, open_session
from edgehybrid.runtime.backends import LoadRequest, TfliteBackend

SHAPE = (1, 4, 4, 4)  # equal lengths, so that a wrong axis still fits
TURNS = ("turn-0231", "turn-0312", "turn-0213")
STEPS = (*TURNS, "conv", "relu", "tanh", "bias", "norm", "softmax", "twice", "mean", "cut")


def nodes_of(step: str, at: str, out: str) -> list[onnx.NodeProto]:
    """One step, from the value ``at`` to ``out``; each keeps the shape."""
    node = helper.make_node
    made = {
        "conv": [node("Conv", [at, "w"], [out], pads=[1, 1, 1, 1])],
        "relu": [node("Relu", [at], [out])],
        "tanh": [node("Tanh", [at], [out])],
        "bias": [node("Add", [at, "b"], [out])],
        "norm": [node("LayerNormalization", [at, "g"], [out])],
        "softmax": [node("Softmax", [at], [out], axis=1)],
        "twice": [  # two values in different orders meet
            node("Transpose", [at], [f"{out}t"], perm=[0, 1, 3, 2]),
            node("Mul", [at, f"{out}t"], [out]),
        ],
        "mean": [node("ReduceMean", [at, "axes"], [f"{out}m"]), node("Sub", [at, f"{out}m"], [out])],
        "cut": [
            node("Slice", [at, "zero", "one", "axes"], [f"{out}a"]),
            node("Slice", [at, "one", "four", "axes"], [f"{out}b"]),
            node("Concat", [f"{out}b", f"{out}a"], [out], axis=2),
        ],
    }
    made |= {turn: [node("Transpose", [at], [out], perm=[int(n) for n in turn[-4:]])] for turn in TURNS}
    return made[step]


def graph_of(steps: list[str]) -> onnx.ModelProto:
    """A chain of operators."""
    nodes, at = list[onnx.NodeProto](), "x"
    held: dict[str, Any] = {"b": weights(4, 1, 1)}
    held |= {"w": weights(4, 4, 3, 3), "g": weights(4), "axes": np.array([2]), "one": np.array([1])}
    held |= {"zero": np.array([0]), "four": np.array([4])}
    for index, step in enumerate(steps):
        nodes += nodes_of(step, at, f"v{index}")
        at = f"v{index}"
    nodes.append(helper.make_node("Identity", [at], ["y"]))
    graph = helper.make_graph(
        nodes,
        "chain",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, SHAPE)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, SHAPE)],
        [numpy_helper.from_array(array, name) for name, array in held.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


@settings(max_examples=40, deadline=None)
@given(steps=st.lists(st.sampled_from(STEPS), min_size=1, max_size=7))
def test_any_chain_of_layouts_gives_the_same_numbers(steps: list[str]) -> None:
    """However transpositions stand between operators, and though all axes are as long, none is mistaken for another."""
    model = graph_of(steps)
    x = np.random.default_rng(len(steps)).standard_normal(SHAPE).astype(np.float32)
    expected = open_session(model).run(["y"], {"x": x})[0]
    with TemporaryDirectory() as folder:
        place = Path(folder) / "model.tflite"
        place.write_bytes(convert(Graph(proto=model), {"x": x}))
        found = TfliteBackend().load(LoadRequest(model_file=place)).run({"x": x})["y"]

    np.testing.assert_allclose(found, expected, atol=1e-4 * max(np.abs(expected).max(), 1e-3), rtol=1e-4)
