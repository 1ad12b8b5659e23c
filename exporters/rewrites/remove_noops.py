"""Remove nodes that give back what they are given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnx_ir as ir

from edgehybrid.exporters.model import Editor, Graph, array_of, attribute
from edgehybrid.exporters.rewrites.protocol import PassResult, Probes

_NEUTRAL = {"Add": (0.0, (0, 1)), "Sub": (0.0, (1,)), "Mul": (1.0, (0, 1)), "Div": (1.0, (1,))}


@dataclass(frozen=True, slots=True)
class RemoveNoops:
    """Identity, dropout in inference, transposition to the same order, cast to the same type, ``x + 0``, ``x · 1``."""

    name: ClassVar[str] = "remove-noops"

    def __call__(self, graph: Graph, probes: Probes, /) -> PassResult:  # noqa: ARG002  # protocol
        """Remove them; a node between an input and an output of the graph stays."""
        model = graph.edit()
        editor = Editor(model)
        applied = 0
        for node in list(model.graph):
            source = _same_as(node)
            if source is None or any(value.is_graph_output() for value in node.outputs[1:]):
                continue
            output = node.outputs[0]
            if output.is_graph_output() and (source.is_graph_input() or source.is_graph_output()):
                continue
            if any(value.uses() for value in node.outputs[1:]):
                continue
            editor.supplant(output, source)
            applied += 1
        if not applied:
            return PassResult(graph=graph)
        editor.close()
        return PassResult(graph=Graph.of(model), applied=applied)


def _same_as(node: ir.Node) -> ir.Value | None:
    x = node.inputs[0] if node.inputs else None
    if x is None:
        return None
    match node.op_type:
        case "Identity":
            return x
        case "Dropout" if len(node.inputs) < 3 or ((flag := array_of(node.inputs[2])) is not None and not flag.any()):
            return x
        case "Transpose":
            order = attribute(node, "perm", None)
            return x if order is not None and list(order) == sorted(order) else None
        case "Cast" if x.dtype is not None and int(x.dtype) == attribute(node, "to", 0):
            return x
        case "Add" | "Sub" | "Mul" | "Div":
            return _neutral(node)
        case _:
            return None


def _neutral(node: ir.Node) -> ir.Value | None:
    value, places = _NEUTRAL[node.op_type]
    for place in places:
        array, other = array_of(node.inputs[place]), node.inputs[1 - place]
        if (
            array is not None
            and other is not None
            and array.size == 1
            and array.dtype == np.float32
            and array.item() == value
        ):
            rank = None if other.shape is None else len(other.shape)
            if array_of(other) is None and (array.ndim == 0 or (rank is not None and array.ndim <= rank)):
                return other
    return None
