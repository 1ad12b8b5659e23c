"""Graphs as torch, tf2onnx, PaddlePaddle and skl2onnx write them; made by ``graphs/make_graphs.py``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgehybrid.exporters import inspect_model

GRAPHS = Path(__file__).parent / "graphs"

CONV, LSTM, ATTENTION, HEAD = 8 * 4 * 3 + 8, 4 * 8 * (8 + 8) + 2 * 4 * 8, 8 * 24 + 24 + 8 * 8 + 8, 8 * 3 + 3
TORCH_MACS = {
    "convolution": 12 * 8 * 4 * 3,
    "recurrent": 12 * 4 * 8 * (8 + 8),
    "attention": 12 * 8 * 24 + 12 * 8 * 8 + 2 * 12 * 12 * 8,
    "dense": 8 * 3,
}


@pytest.mark.parametrize("name", ["torch_dynamo", "torch_script"])
def test_both_torch_exporters(name: str) -> None:
    """One net, two ways to write it: the same families, parameters and multiply-accumulates, as by hand."""
    report = inspect_model(GRAPHS / f"{name}.onnx", runs=2)
    found = {c.family: c for c in report.components if c.family != "glue"}

    assert TORCH_MACS == {family: c.macs for family, c in found.items()}
    assert CONV == found["convolution"].params
    assert LSTM == found["recurrent"].params
    assert HEAD == found["dense"].params
    assert ATTENTION <= found["attention"].params <= ATTENTION + 2  # and its scale
    assert 1 == sum(c.family == "attention" for c in report.components)
    assert 0.0 == report.unknown_share  # every kernel is at home somewhere, whatever was fused


def test_tf2onnx_style() -> None:
    """Channels last outside: the transpositions are glue, and moving time stands at the convolution's borders."""
    report = inspect_model(GRAPHS / "like_tf2onnx.onnx", runs=4)
    found = {c.family: c for c in report.components if c.family != "glue"}

    assert 8 * 8 * 6 * 3 * 9 == found["convolution"].macs
    assert 6 * 3 * 9 + 6 == found["convolution"].params
    assert 6 * 4 == found["dense"].macs
    assert 6 * 4 + 4 == found["dense"].params
    assert ("input", "convolution") in {(border.before, border.after) for border in report.borders}


def test_paddle_style() -> None:
    """Weights in Constant nodes, names with dots and colons: nothing is lost."""
    report = inspect_model(GRAPHS / "like_paddle.onnx", runs=2)
    found = {c.family: c for c in report.components if c.family != "glue"}

    assert {"convolution": 8 * 4 * 3 * 6, "attention": 4 * 6 * 64 + 2 * 6 * 6 * 8} == {
        f: c.macs for f, c in found.items()
    }
    assert 8 * 4 * 3 + 8 == found["convolution"].params
    assert 4 * (64 + 8) + 1 == found["attention"].params


def test_sklearn_forest() -> None:
    """A forest is trees: thresholds and leaves are its parameters, and it multiplies nothing."""
    (node,) = onnx.load(GRAPHS / "skl_forest.onnx").graph.node
    modes = next(a.strings for a in node.attribute if a.name == "nodes_modes")
    report = inspect_model(GRAPHS / "skl_forest.onnx", runs=2)

    assert ["trees"] == [c.family for c in report.components]
    assert len(modes) == report.params  # one number in each node: a threshold or a leaf's value
    assert 0 == report.macs


def tree_ensemble_5() -> onnx.ModelProto:
    """One branch, two leaves, in the operator that ai.onnx.ml 5 brought."""
    node = helper.make_node(
        "TreeEnsemble",
        ["x"],
        ["y"],
        name="trees",
        domain="ai.onnx.ml",
        n_targets=1,
        nodes_featureids=[0],
        nodes_splits=numpy_helper.from_array(np.array([0.5], np.float32)),
        nodes_modes=numpy_helper.from_array(np.array([0], np.uint8)),
        nodes_truenodeids=[0],
        nodes_trueleafs=[1],
        nodes_falsenodeids=[1],
        nodes_falseleafs=[1],
        tree_roots=[0],
        leaf_targetids=[0, 0],
        leaf_weights=numpy_helper.from_array(np.array([1.0, 2.0], np.float32)),
    )
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", s]) for n, s in (("x", 2), ("y", 1))]
    imports = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 5)]
    return helper.make_model(helper.make_graph([node], "g", ends[:1], ends[1:]), opset_imports=imports, ir_version=10)


def test_tree_ensemble_of_opset_5(tmp_path: Path) -> None:
    """The newer operator keeps thresholds and leaves in tensors; they count alike."""
    (tmp_path / "m.onnx").write_bytes(tree_ensemble_5().SerializeToString())
    report = inspect_model(tmp_path / "m.onnx", runs=2)

    assert ["trees"] == [c.family for c in report.components]
    assert 1 + 2 == report.params


def test_local_functions_are_seen_through(tmp_path: Path) -> None:
    """A layer written as a function of the model is found as what it is, also where a function calls another."""
    dense = helper.make_function(
        "own",
        "Dense",
        ["a", "w"],
        ["b"],
        [helper.make_node("MatMul", ["a", "w"], ["b"])],
        [helper.make_opsetid("", 18)],
    )
    inner = [
        helper.make_node("Dense", ["a", "w"], ["c"], domain="own"),
        helper.make_node("Relu", ["c"], ["d"]),
        helper.make_node("Dense", ["d", "v"], ["b"], domain="own"),
    ]
    imports = [helper.make_opsetid("", 18), helper.make_opsetid("own", 1)]
    block = helper.make_function("own", "Block", ["a", "w", "v"], ["b"], inner, imports)
    weights = [numpy_helper.from_array(np.ones((6, 5), np.float32), "w")]
    weights.append(numpy_helper.from_array(np.ones((5, 3), np.float32), "v"))
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", s]) for n, s in (("x", 6), ("y", 3))]
    node = helper.make_node("Block", ["x", "w", "v"], ["y"], domain="own", name="block")
    graph = helper.make_graph([node], "g", ends[:1], ends[1:], weights)
    proto = helper.make_model(graph, functions=[dense, block], opset_imports=imports, ir_version=9)
    (tmp_path / "m.onnx").write_bytes(proto.SerializeToString())
    report = inspect_model(tmp_path / "m.onnx", runs=2)

    assert ["dense"] == [c.family for c in report.components]
    assert 6 * 5 + 5 * 3 == report.params == report.macs


def test_integers_and_scalars_go_in(tmp_path: Path) -> None:
    """A model of indices and of a number without axes runs on made-up inputs, and its table counts as parameters."""
    nodes = [
        helper.make_node("Gather", ["table", "x"], ["e"], name="embed"),
        helper.make_node("Mul", ["e", "scale"], ["s"], name="scale_it"),
        helper.make_node("MatMul", ["s", "w"], ["y"], name="head"),
    ]
    weights = [numpy_helper.from_array(np.ones((9, 4), np.float32), "table")]
    weights.append(numpy_helper.from_array(np.ones((4, 2), np.float32), "w"))
    inputs = [
        helper.make_tensor_value_info("x", TensorProto.INT32, ["n", 7]),
        helper.make_tensor_value_info("scale", TensorProto.FLOAT, []),
    ]
    graph = helper.make_graph(
        nodes, "g", inputs, [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 7, 2])], weights
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    (tmp_path / "m.onnx").write_bytes(proto.SerializeToString())
    report = inspect_model(tmp_path / "m.onnx", runs=2)

    assert "" == report.note
    assert 9 * 4 + 4 * 2 == report.params
    assert 7 * 4 * 2 == report.macs
    assert len(report.components) == len(report.bytes_moved)
