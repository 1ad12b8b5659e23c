"""Compute once what does not depend on the inputs, and drop what nobody reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import onnxscript.optimizer

from edgehybrid.exporters.model import Graph
from edgehybrid.exporters.rewrites.protocol import PassResult, Probes


@dataclass(frozen=True, slots=True)
class FoldConstants:
    """Constant folding, dead code, common subexpressions of shapes: onnxscript's optimizer.

    ``max_numbers`` bounds the size of a tensor that is stored instead of computed.
    """

    name: ClassVar[str] = "fold-constants"
    max_numbers: int = 4_000_000

    def __call__(self, graph: Graph, probes: Probes, /) -> PassResult:  # noqa: ARG002  # protocol
        """Fold; counts the nodes that are gone."""
        model = graph.edit()
        before = len(model.graph)
        onnxscript.optimizer.optimize_ir(
            model, input_size_limit=self.max_numbers, output_size_limit=self.max_numbers, onnx_shape_inference=True
        )
        gone = before - len(model.graph)
        return PassResult(graph=Graph.of(model), applied=gone) if gone else PassResult(graph=graph)
