"""A residual sum before a LayerNorm is kept apart from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import onnx_ir as ir

from edgehybrid.exporters.model import Graph, array_of
from edgehybrid.exporters.rewrites.protocol import PassResult, Probes


@dataclass(frozen=True, slots=True)
class SumBeforeNorm:
    """``LayerNormalization(Add(x, y))`` becomes ``LayerNormalization(Sum(x, y))``: the same numbers.

    ONNX Runtime joins the first form into ``SkipLayerNormalization`` when it loads the model. On the CPU its kernel of
    version 1.32 takes 183 µs where sum and norm take 30 µs (*measured*, 256 tokens of 64); it leaves ``Sum`` alone.
    """

    name: ClassVar[str] = "sum-before-norm"

    def __call__(self, graph: Graph, probes: Probes, /) -> PassResult:  # noqa: ARG002  # protocol
        """Rewrite each sum of two computed values that a norm reads."""
        model = graph.edit()
        sums = [node for node in model.graph if node.op_type == "Add" and _feeds_norm(node)]
        if not sums:
            return PassResult(graph=graph)
        for node in sums:
            node.op_type = "Sum"
        return PassResult(graph=Graph.of(model), applied=len(sums))


def _feeds_norm(node: ir.Node) -> bool:
    if any(value is None or array_of(value) is not None for value in node.inputs):
        return False  # a bias: the product before it takes it in
    return any(user.op_type == "LayerNormalization" and index == 0 for user, index in node.outputs[0].uses())
