"""Heads: closed-form fits, their scores, and the nodes that compute them in a stage."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edgehybrid.exporters.depth import attach_head, fit_head, poolings, with_features
from edgehybrid.exporters.depth.heading import confidence, fit_ridge, risk_coverage_area
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


def test_ridge_finds_what_is_there() -> None:
    """Targets that are affine in the features come back, although there are fewer rows than features."""
    features, true = RNG.normal(size=(60, 100)), np.zeros((100, 2))
    true[:3] = RNG.normal(size=(3, 2))
    fitted = fit_ridge(features[:, :3], features[:, :3] @ true[:3] + 7.0)

    np.testing.assert_allclose(true[:3], fitted.weight, atol=1e-2)
    np.testing.assert_allclose(7.0, fitted.bias, atol=1e-2)
    assert np.isfinite(fit_ridge(features, features @ true).weight).all()


def test_a_constant_feature_does_no_harm() -> None:
    """A feature that never moves gets no weight."""
    features = np.column_stack([RNG.normal(size=50), np.full(50, 3.0)])
    fitted = fit_ridge(features, features[:, :1])

    assert 0.0 == fitted.weight[1, 0]


def test_surer_rows_fail_less() -> None:
    """Of a score that puts every failure last the area is less than of one that puts them first."""
    loss = np.array([0.0, 0.0, 0.0, 1.0])
    assert risk_coverage_area(np.array([4.0, 3, 2, 1]), loss) < risk_coverage_area(np.array([1.0, 2, 3, 4]), loss)


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


@pytest.mark.parametrize("score", ["margin", "entropy", "energy"])
@pytest.mark.parametrize("form", ["logits", "probabilities"])
def test_the_graph_computes_what_was_fitted(score: str, form: str) -> None:
    """Answer and confidence of the stage are those of the formulas, row by row."""
    stage, x = _stage((8,)), RNG.normal(size=(120, 8)).astype(np.float32)
    features = np.maximum(x, 0).astype(np.float64)
    logits = features @ RNG.normal(size=(8, 4))
    answers = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True) if form == "probabilities" else logits
    head = replace(fit_head(features, answers, pooling="flat", form=form), score=score)
    outputs = _run(attach_head(stage, head, 1, "y"), x)

    expected = head.affine(features)
    np.testing.assert_allclose(confidence(expected, score, head.score_params), outputs["exit1_confidence"], atol=1e-4)
    if form == "logits":
        np.testing.assert_allclose(expected, outputs["exit1_y"], rtol=1e-3, atol=1e-3)
    np.testing.assert_array_equal(expected.argmax(axis=1), outputs["exit1_y"].argmax(axis=1))
    assert head.agreement > 0.9
    assert ("batch",) == tuple(
        d.dim_param for d in attach_head(stage, head, 1, "y").proto.graph.output[-1].type.tensor_type.shape.dim
    )


def test_a_value_is_surer_where_its_error_is_smaller() -> None:
    """For a value the head predicts its own error, and the graph computes the same."""
    stage, x = _stage((3,)), np.abs(RNG.normal(size=(400, 3))).astype(np.float32)
    features = x.astype(np.float64)
    noise = RNG.normal(size=400) * features[:, 1]
    head = fit_head(features, (features[:, 0] + noise)[:, None], pooling="flat", form="value")
    outputs = _run(attach_head(stage, head, 1, "y"), x)

    sure = outputs["exit1_confidence"]
    assert np.abs(noise[sure > np.median(sure)]).mean() < np.abs(noise[sure <= np.median(sure)]).mean()
    assert 0.0 < sure.min() <= sure.max() <= 1.0
    onnx.checker.check_model(attach_head(stage, head, 1, "y").proto)
