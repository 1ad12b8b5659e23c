"""Fold batch normalization into the convolution before it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnx_ir as ir

from edgehybrid.exporters.model import Editor, Graph, array_of, attribute
from edgehybrid.exporters.rewrites.protocol import PassResult, Probes
from edgehybrid.exporters.skip import Skip


@dataclass(frozen=True, slots=True)
class FoldBatchNorm:
    """``bn(conv(x))`` becomes one convolution: ``w' = w·γ/σ``, ``b' = (b - μ)·γ/σ + β``."""

    name: ClassVar[str] = "fold-batchnorm"

    def __call__(self, graph: Graph, probes: Probes, /) -> PassResult:  # noqa: ARG002  # protocol
        """Fold each pair whose convolution nobody else reads."""
        model = graph.edit()
        editor = Editor(model)
        applied, skipped = 0, []
        for node in list(model.graph):
            if node.op_type != "BatchNormalization":
                continue
            if why := _fold(editor, node):
                skipped.append(Skip(where=str(node.name), why=why))
            else:
                applied += 1
        if not applied:
            return PassResult(graph=graph, skipped=tuple(skipped))
        editor.close()
        return PassResult(graph=Graph.of(model), applied=applied, skipped=tuple(skipped))


def _fold(editor: Editor, node: ir.Node) -> str | None:
    conv = node.inputs[0].producer() if node.inputs[0] is not None else None
    if conv is None or conv.op_type != "Conv":
        return "no convolution before it"
    if len(conv.outputs[0].uses()) != 1 or conv.outputs[0].is_graph_output():
        return "the convolution is read twice"
    if len([value for value in node.outputs if value.uses() or value.is_graph_output()]) != 1:
        return "its statistics are read"
    w = array_of(conv.inputs[1])
    b = array_of(conv.inputs[2]) if len(conv.inputs) > 2 and conv.inputs[2] is not None else np.zeros(1, np.float32)
    terms = [array_of(value) for value in node.inputs[1:5]]
    if w is None or b is None or any(term is None for term in terms):
        return "its parameters are no constants"
    gamma, beta, mean, variance = (np.asarray(term, dtype=np.float64) for term in terms)
    factor = gamma / np.sqrt(variance + attribute(node, "epsilon", 1e-5))
    shape = (-1,) + (1,) * (w.ndim - 1)
    weight = (np.asarray(w, dtype=np.float64) * factor.reshape(shape)).astype(np.float32)
    bias = ((np.asarray(b, dtype=np.float64) - mean) * factor + beta).astype(np.float32)
    inputs = [conv.inputs[0], editor.weight(f"{conv.name}_w", weight), editor.weight(f"{conv.name}_b", bias)]
    kept = {name: item.value for name, item in conv.attributes.items()}
    new = editor.node(node, "Conv", inputs, name=f"{conv.name}_bn", **kept)
    editor.supplant(node.outputs[0], new.outputs[0])
    name = str(conv.name)
    conv.name, new.name = f"{name}_gone", name  # its place in the user's graph is known by this name
    return None
