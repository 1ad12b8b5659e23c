from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from edgehybrid.exporters.formats import pack
from edgehybrid.exporters.formats.trees import compact_trees
from edgehybrid.exporters.model import Graph, open_session

FOREST = Path(__file__).parents[1] / "model" / "graphs" / "skl_forest.onnx"


def noted(zoo: Any) -> Graph:
    """A graph with everything that tools leave in a file."""
    proto = zoo.hybrid().proto
    for node in proto.graph.node:
        node.doc_string = "made in line 7"
        node.metadata_props.add(key="namespace", value="encoder.layer.0")
    proto.metadata_props.add(key="pkg.torch.export.graph_signature", value="x" * 500)
    proto.metadata_props.add(key="labels", value="yes,no")
    return Graph(proto=proto)


def test_notes_are_left_out_and_what_the_app_reads_stays(zoo: Any) -> None:
    """Doc strings and notes on nodes go; properties of the app, names, shapes and the computation stay."""
    graph = noted(zoo)
    file = pack({"opt": graph}).models["opt"]
    lean = onnx.load_model_from_string(file)

    assert b"made in line 7" not in file
    assert {"labels": "yes,no"} == {item.key: item.value for item in lean.metadata_props}
    assert [node.name for node in graph.proto.graph.node] == [node.name for node in lean.graph.node]
    assert list(graph.proto.graph.value_info) == list(lean.graph.value_info)


def test_the_reference_stays_as_it_was_given(zoo: Any) -> None:
    """Nothing of the reference is rewritten: only its large weights move."""
    graph = noted(zoo)
    kept = onnx.load_model_from_string(pack({"fp32": graph}).models["fp32"])

    assert list(graph.proto.graph.node) == list(kept.graph.node)
    assert list(graph.proto.graph.value_info) == list(kept.graph.value_info)
    assert list(graph.proto.metadata_props) == list(kept.metadata_props)


@pytest.mark.parametrize("mode", ["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ"])
@pytest.mark.parametrize("base", [None, [80.5]])
def test_compact_trees_give_the_same_bits(mode: str, base: list[float] | None) -> None:
    """Every kind of branch, with and without a base value, at thresholds, at NaN and in any batch."""
    graph = forest(mode, base, tracks=[1, 0] * 50)
    model = onnx.ModelProto()
    model.CopyFrom(graph)
    x = np.random.default_rng(1).integers(-2, 3, (40, 4)).astype(np.float32)
    x[3, 1] = x[7, 0] = np.nan

    assert 1 == compact_trees(model)
    onnx.checker.check_model(model)
    for rows in (1, 40):
        expected, found = (open_session(m).run(None, {"x": x[:rows]})[0] for m in (graph, model))
        np.testing.assert_array_equal(expected, found)


def test_a_real_forest_shrinks_and_gives_the_same_bits() -> None:
    """A forest of scikit-learn in less than two thirds of its bytes, or left as it is where it cannot be."""
    old, new = onnx.load(FOREST), onnx.load(FOREST)
    made = compact_trees(new)
    (spec,) = old.graph.input
    x = np.random.default_rng(2).standard_normal((64, spec.type.tensor_type.shape.dim[1].dim_value)).astype(np.float32)
    expected, found = (open_session(m).run(None, {spec.name: x})[0] for m in (old, new))

    assert made == 0 or new.ByteSize() < 0.67 * old.ByteSize()
    np.testing.assert_array_equal(expected, found)


@pytest.mark.parametrize(
    "change",
    [
        {"aggregate_function": "AVERAGE"},
        {"post_transform": "LOGISTIC"},
        {"target_ids": [0] * 6, "target_treeids": [0] * 3 + [1] * 3, "target_nodeids": [2, 3, 3, 2, 3, 4]},
        {"nodes_treeids": [0, 0, 0, 1, 1, 0, 0, 1, 1, 1]},
    ],
)
def test_other_ensembles_are_left_alone(change: dict[str, Any]) -> None:
    """What the new operator cannot say in the same bits stays as it is."""
    model = forest("BRANCH_LEQ", None, **change)
    before = model.SerializeToString()

    assert 0 == compact_trees(model)
    assert before == model.SerializeToString()


def forest(mode: str, base: list[float] | None, *, tracks: list[int] | None = None, **change: Any) -> onnx.ModelProto:
    """Two trees of two branches each, on four features."""
    attributes: dict[str, Any] = {
        "n_targets": 1,
        "nodes_treeids": [0] * 5 + [1] * 5,
        "nodes_nodeids": [0, 1, 2, 3, 4] * 2,
        "nodes_featureids": [0, 3, 0, 0, 0, 1, 2, 0, 0, 0],
        "nodes_values": [1.0, -1.0, 0.0, 0.0, 0.0, 0.0, 2.0, 0.0, 0.0, 0.0],
        "nodes_modes": [mode, mode, "LEAF", "LEAF", "LEAF"] * 2,
        "nodes_truenodeids": [1, 3, 0, 0, 0] * 2,
        "nodes_falsenodeids": [2, 4, 0, 0, 0] * 2,
        "target_treeids": [0] * 3 + [1] * 3,
        "target_nodeids": [2, 3, 4] * 2,
        "target_ids": [0] * 6,
        "target_weights": [0.1, 2.3, 3.7, -1.3, 0.7, 9.1],
    }
    if base is not None:
        attributes["base_values"] = base
    if tracks is not None:
        attributes["nodes_missing_value_tracks_true"] = tracks[:10]
    node = onnx.helper.make_node(
        "TreeEnsembleRegressor", ["x"], ["y"], name="trees", domain="ai.onnx.ml", **{**attributes, **change}
    )
    graph = onnx.helper.make_graph(
        [node],
        "g",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["batch", 4])],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["batch", 1])],
    )
    imports = [onnx.helper.make_opsetid("", 18), onnx.helper.make_opsetid("ai.onnx.ml", 3)]
    return onnx.helper.make_model(graph, opset_imports=imports, ir_version=9)
