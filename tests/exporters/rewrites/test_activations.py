from __future__ import annotations

import math
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from edgehybrid.exporters.model import Graph
from edgehybrid.exporters.rewrites import PASSES, Probes, rewrite


def ops(graph: Graph) -> list[str]:
    """Operators in order."""
    return [node.op_type for node in graph.proto.graph.node]


def same(zoo: Any, a: Graph, b: Graph) -> None:
    """The same numbers to 1e-4 of their range, on values around zero and far from it."""
    for seed in range(3):
        feeds = {"x": zoo.feeds(a, 4, seed)["x"] * 3}
        expected = zoo.run(a, feeds)
        np.testing.assert_allclose(zoo.run(b, feeds), expected, atol=1e-4 * float(np.abs(expected).max()))


def tanh_gelu(s: Any, x: str, style: str) -> str:
    """GELU by ``tanh`` as one of three exporters writes it."""
    cube = s.op("Pow", x, s.constant(3.0)) if style == "pow" else s.op("Mul", s.op("Mul", x, x), x)
    inner = s.op("Add", x, s.op("Mul", s.constant(0.044715), cube))
    t = s.op("Tanh", s.op("Mul", inner, s.constant(math.sqrt(2 / math.pi))))
    one = s.op("Add", t, s.constant(1.0))
    if style == "half-first":
        return str(s.op("Mul", s.op("Mul", s.constant(0.5), x), one))
    return str(s.op("Mul", s.op("Mul", x, one), s.constant(0.5)))


def hard_swish(s: Any, x: str, style: str) -> str:
    """HardSwish in one of three spellings."""
    if style == "hard-sigmoid":
        return str(s.op("Mul", x, s.op("HardSigmoid", x, alpha=1 / 6, beta=0.5)))
    clipped = s.op("Clip", s.op("Add", x, s.constant(3.0)), s.constant(0.0), s.constant(6.0))
    if style == "div-last":
        return str(s.op("Div", s.op("Mul", x, clipped), s.constant(6.0)))
    return str(s.op("Mul", x, s.op("Mul", clipped, s.constant(1 / 6))))


@pytest.mark.parametrize(
    ("make", "style", "op"),
    [
        *((tanh_gelu, style, "FastGelu") for style in ("pow", "product", "half-first")),
        *((hard_swish, style, "HardSwish") for style in ("hard-sigmoid", "div-last", "div-first")),
    ],
)
def test_activation_becomes_one_node(zoo: Any, make: Any, style: str, op: str) -> None:
    """Whatever the spelling, and although its argument is itself a sum."""
    s = zoo.sketch()
    x = s.op("Add", "x", s.weight(8))
    graph = s.close(s.op("Neg", make(s, x, style)), ["batch", 8], ["batch", 8])
    result = PASSES["fuse-activations"]()(graph, Probes())

    assert ["Add", op, "Neg"] == ops(result.graph)[:3]
    same(zoo, graph, result.graph)


@pytest.mark.parametrize("wrong", ["constant", "argument"])
def test_what_computes_something_else_is_left(zoo: Any, wrong: str) -> None:
    """Another constant, or a factor that is another value: the very graph comes back."""
    s = zoo.sketch()
    x = s.op("Add", "x", s.weight(8))
    limit = s.constant(5.0 if wrong == "constant" else 6.0)
    clipped = s.op("Clip", s.op("Add", x, s.constant(3.0)), s.constant(0.0), limit)
    factor = s.op("Exp", "x") if wrong == "argument" else x
    graph = s.close(s.op("Div", s.op("Mul", factor, clipped), s.constant(6.0)), ["batch", 8], ["batch", 8])

    assert graph is PASSES["fuse-activations"]()(graph, Probes()).graph


@pytest.mark.parametrize("square", ["Pow", "Mul"])
def test_root_mean_square_norm_is_one_node_at_run_time(zoo: Any, square: str, tmp_path: Any) -> None:
    """As torch writes it, the runtime does not know it; after the rewrite it does."""
    s = zoo.sketch()
    x = s.op("Exp", "x")
    squared = s.op("Mul", x, x) if square == "Mul" else s.op("Pow", x, s.constant(2.0))
    mean = s.op("ReduceMean", squared, s.ints(-1), keepdims=1)
    root = s.op("Reciprocal", s.op("Sqrt", s.op("Add", mean, s.constant(1e-6))))
    graph = s.close(s.op("Mul", s.op("Mul", x, root), s.weight(8)), ["batch", 8], ["batch", 8])
    report = rewrite(graph, Probes())
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "run.onnx")
    options.log_severity_level = 4
    ort.InferenceSession(report.graph.to_bytes(), options, providers=["CPUExecutionProvider"])

    assert 1 == report.applied["divide-by-root"]
    assert "SimplifiedLayerNormalization" in {n.op_type for n in onnx.load(tmp_path / "run.onnx").graph.node}
    same(zoo, graph, report.graph)
