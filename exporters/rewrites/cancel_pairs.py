"""Join neighbours that move data: two transpositions, two reshapes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import onnx_ir as ir

from edgehybrid.exporters.model import Editor, Graph, array_of, attribute
from edgehybrid.exporters.rewrites.protocol import PassResult, Probes


@dataclass(frozen=True, slots=True)
class CancelPairs:
    """Two transpositions become one, or none if the orders cancel; of two reshapes the second stays."""

    name: ClassVar[str] = "cancel-pairs"

    def __call__(self, graph: Graph, probes: Probes, /) -> PassResult:  # noqa: ARG002  # protocol
        """Join pairs; the first of a pair stays if others read it."""
        model = graph.edit()
        editor = Editor(model)
        applied = 0
        for node in list(model.graph):
            if node.op_type in ("Transpose", "Reshape", "Squeeze", "Unsqueeze", "Flatten"):
                applied += _join(editor, node)
        if not applied:
            return PassResult(graph=graph)
        editor.close()
        return PassResult(graph=Graph.of(model), applied=applied)


def _join(editor: Editor, node: ir.Node) -> int:
    middle = node.inputs[0]
    before = middle.producer() if middle is not None else None
    if before is None or before.inputs[0] is None:
        return 0
    if node.op_type == "Transpose" and before.op_type == "Transpose":
        return _transposes(editor, node, before)
    if node.op_type == "Reshape" and before.op_type in ("Reshape", "Squeeze", "Unsqueeze", "Flatten"):
        shape = array_of(node.inputs[1])
        if shape is None or (shape == 0).any():  # zero copies a length from the tensor in between
            return 0
        node.replace_input_with(0, before.inputs[0])
        return 1
    return 0


def _transposes(editor: Editor, node: ir.Node, before: ir.Node) -> int:
    second, first = attribute(node, "perm", None), attribute(before, "perm", None)
    source = before.inputs[0]
    if first is None or second is None or source is None:
        return 0
    joined = [first[axis] for axis in second]
    if joined == sorted(joined) and not (node.outputs[0].is_graph_output() and source.is_graph_input()):
        editor.supplant(node.outputs[0], source)
        return 1
    node.replace_input_with(0, source)
    node.attributes["perm"] = ir.AttrInt64s("perm", joined)
    return 1
