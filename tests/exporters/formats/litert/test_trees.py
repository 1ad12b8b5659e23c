"""Ensembles of classes as TFLite files."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("ai_edge_quantizer", reason="the extra export-tflite is not installed")

import onnx
from onnx import TensorProto, helper

from edgehybrid.errors import ModelError
from edgehybrid.exporters.formats.litert import convert
from edgehybrid.exporters.model import Graph, open_session
from edgehybrid.runtime.backends import Session

FEATURES, DEPTH, TREES = 6, 4, 7


def forest(classes: int, **attributes: Any) -> onnx.ModelProto:
    """Full trees of random tests, whose leaves add to one class each, as boosted trees do."""
    draw = np.random.default_rng(classes)
    inner, count = 2**DEPTH - 1, 2 ** (DEPTH + 1) - 1
    leaves = range(inner, count)
    labels = attributes.pop("labels", {"classlabels_int64s": [10 * k + 3 for k in range(classes)]})
    node = helper.make_node(
        "TreeEnsembleClassifier",
        ["x"],
        ["label", "scores"],
        domain="ai.onnx.ml",
        nodes_treeids=[tree for tree in range(TREES) for _ in range(count)],
        nodes_nodeids=list(range(count)) * TREES,
        nodes_featureids=draw.integers(0, FEATURES, count * TREES).tolist(),
        nodes_modes=(["BRANCH_LEQ"] * inner + ["LEAF"] * len(leaves)) * TREES,
        nodes_values=draw.standard_normal(count * TREES).astype(np.float32).tolist(),
        nodes_truenodeids=[2 * i + 1 if i < inner else 0 for i in range(count)] * TREES,
        nodes_falsenodeids=[2 * i + 2 if i < inner else 0 for i in range(count)] * TREES,
        class_treeids=[tree for tree in range(TREES) for _ in leaves],
        class_nodeids=list(leaves) * TREES,
        class_ids=attributes.pop("class_ids", [tree % classes for tree in range(TREES) for _ in leaves]),
        class_weights=draw.standard_normal(len(leaves) * TREES).astype(np.float32).tolist(),
        **{**labels, **attributes},
    )
    graph = helper.make_graph(
        [node],
        "trees",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, FEATURES))],
        [
            helper.make_tensor_value_info("label", TensorProto.INT64, (1,)),
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, (1, classes)),
        ],
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9)


@pytest.mark.parametrize("transform", ["NONE", "SOFTMAX", "LOGISTIC"])
@pytest.mark.parametrize("base", [[], [0.5, -0.25, 0.125, 0.0]])
def test_classes_are_those_of_onnx_runtime(load: Callable[[bytes], Session], transform: str, base: list[float]) -> None:
    """The label is the very one, 64 bits wide; scores differ in the order of their sum at most."""
    model = forest(4, post_transform=transform, **({"base_values": base} if base else {}))
    session = open_session(model)
    lite = load(convert(Graph(proto=model), {"x": np.zeros((1, FEATURES), np.float32)}))
    seen = set()
    for row in np.random.default_rng(0).standard_normal((60, FEATURES)).astype(np.float32):
        label, scores = session.run(None, {"x": row[None]})
        got = lite.run({"x": row[None]})
        assert (label.dtype, label.tolist()) == (got["label"].dtype, got["label"].tolist())
        np.testing.assert_allclose(got["scores"], scores, rtol=1e-5, atol=1e-6)
        seen.add(int(label[0]))
    assert len(seen) > 1


@pytest.mark.parametrize(
    ("classes", "attributes", "why"),
    [
        (2, {}, "2 classes"),
        (3, {"class_ids": [leaf % 3 for leaf in range(TREES * 2**DEPTH)]}, "no tree speaks"),
        (3, {"post_transform": "PROBIT"}, "scores by PROBIT"),
        (3, {"labels": {"classlabels_strings": ["a", "b", "c"]}}, "names of text"),
    ],
)
def test_what_cannot_be_said_is_refused(classes: int, attributes: dict[str, Any], why: str) -> None:
    """By the name of the node, before a file is written."""
    model = forest(classes, **attributes)
    if "labels" in attributes:
        model.graph.output[0].type.tensor_type.elem_type = TensorProto.STRING
    with pytest.raises(ModelError, match=why):
        convert(Graph(proto=model), {"x": np.zeros((1, FEATURES), np.float32)})
