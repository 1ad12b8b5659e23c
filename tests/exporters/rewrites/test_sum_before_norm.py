from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort

from edgehybrid.exporters.model import Graph
from edgehybrid.exporters.rewrites import PASSES, Probes


def residual_norm(zoo: Any, *, computed: bool = True) -> Graph:
    """A residual sum, or one with a constant, before a LayerNorm of ``[batch, 6, 32]``."""
    s = zoo.sketch()
    other = s.op("MatMul", "x", s.weight(32, 32)) if computed else s.weight(32)
    total = s.op("Add", "x", other)
    norm = s.op("LayerNormalization", total, s.weight(32), s.weight(32), axis=-1)
    graph: Graph = s.close(norm, ["batch", 6, 32], ["batch", 6, 32])
    return graph


def loaded_ops(graph: Graph, folder: Path) -> set[str]:
    """Operators that ONNX Runtime really runs."""
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.optimized_model_filepath = str(folder / "loaded.onnx")
    ort.InferenceSession(graph.to_bytes(), options, providers=["CPUExecutionProvider"])
    return {node.op_type for node in onnx.load(folder / "loaded.onnx").graph.node}


def test_sum_and_norm_stay_apart(zoo: Any, tmp_path: Path) -> None:
    """The numbers are the same, and the slow joined kernel, which ONNX Runtime takes without the rule, is not used."""
    graph = residual_norm(zoo)
    result = PASSES["sum-before-norm"]()(graph, Probes())
    feeds = zoo.feeds(graph, 3, 0)

    np.testing.assert_allclose(zoo.run(result.graph, feeds), zoo.run(graph, feeds), atol=1e-5)
    assert 1 == result.applied
    assert "SkipLayerNormalization" in loaded_ops(graph, tmp_path)
    assert "SkipLayerNormalization" not in loaded_ops(result.graph, tmp_path)


def test_a_bias_before_a_norm_is_left(zoo: Any) -> None:
    """A sum with a constant is the bias of a product: the very graph comes back, and once rewritten is enough."""
    graph = residual_norm(zoo, computed=False)
    once = PASSES["sum-before-norm"]()(residual_norm(zoo), Probes()).graph

    assert graph is PASSES["sum-before-norm"]()(graph, Probes()).graph
    assert once is PASSES["sum-before-norm"]()(once, Probes()).graph
