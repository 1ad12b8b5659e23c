"""``x · (1 / √v)``, as PyTorch writes ``rsqrt``, becomes ``x / √v``: then ONNX Runtime knows an RMS norm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnx_ir as ir

from edgehybrid.exporters.model import Editor, Graph
from edgehybrid.exporters.rewrites.protocol import PassResult, Probes


@dataclass(frozen=True, slots=True)
class DivideByRoot:
    """``Mul(x, Reciprocal(r))`` becomes ``Div(x, r)``, and ``x · x`` before a mean ``x ** 2``.

    With it ONNX Runtime fuses RMSNorm into one ``SimplifiedLayerNormalization`` when it loads the model; without, it
    runs six nodes. LayerNorm and its sum with a skip it fuses by itself.
    """

    name: ClassVar[str] = "divide-by-root"

    def __call__(self, graph: Graph, probes: Probes, /) -> PassResult:  # noqa: ARG002  # protocol
        """Rewrite each product with a reciprocal root that nobody else reads."""
        model = graph.edit()
        editor = Editor(model)
        applied = 0
        for node in list(model.graph):
            if node.op_type == "Reciprocal":
                applied += _divide(editor, node)
        if not applied:
            return PassResult(graph=graph)
        editor.close()
        return PassResult(graph=Graph.of(model), applied=applied)


def _divide(editor: Editor, node: ir.Node) -> bool:
    root = node.inputs[0].producer() if node.inputs[0] is not None else None
    users = [user for user, _ in node.outputs[0].uses()]
    if root is None or root.op_type != "Sqrt" or len(users) != 1 or users[0].op_type != "Mul":
        return False
    other = next((value for value in users[0].inputs if value is not node.outputs[0]), None)
    if other is None or node.outputs[0].is_graph_output():
        return False
    name = str(users[0].name)
    users[0].name = f"{name}_gone"
    new = editor.node(users[0], "Div", [other, root.outputs[0]], name=f"{name}_div")
    new.name = name
    editor.supplant(users[0].outputs[0], new.outputs[0])
    _square(editor, root)
    return True


def _square(editor: Editor, root: ir.Node) -> None:
    """Write ``x · x`` under the mean under the root as a power, which is what the runtime looks for."""
    above = root.inputs[0].producer() if root.inputs[0] is not None else None
    means = [value.producer() for value in above.inputs if value is not None] if above is not None else []
    mean = next((item for item in means if item is not None and item.op_type == "ReduceMean"), None)
    square = mean.inputs[0].producer() if mean is not None and mean.inputs[0] is not None else None
    if square is None or square.op_type != "Mul" or square.inputs[0] is not square.inputs[1]:
        return
    two = editor.weight("two", np.array(2.0, dtype=np.float32))
    power = editor.node(square, "Pow", [square.inputs[0], two], name=f"{square.name}_pow")
    editor.supplant(square.outputs[0], power.outputs[0])
