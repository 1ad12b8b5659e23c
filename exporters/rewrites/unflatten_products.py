"""A product of rows that are flattened before it and unflattened after it needs no flattening."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnx_ir as ir

from edgehybrid.exporters.model import Editor, Graph, array_of, attribute
from edgehybrid.exporters.rewrites.merge_layout import Shapes, chain_shapes
from edgehybrid.exporters.rewrites.protocol import PassResult, Probes


@dataclass(frozen=True, slots=True)
class UnflattenProducts:
    """``Reshape, Gemm, Reshape`` (or ``MatMul``) on rows becomes ``MatMul, Add`` on the sequence itself.

    For itself it wins nothing; it lets the transpositions around the output of ``nn.MultiheadAttention`` meet.
    """

    name: ClassVar[str] = "unflatten-products"

    def __call__(self, graph: Graph, probes: Probes, /) -> PassResult:
        """Rewrite where both reshapes only join and part the same leading axes; without probes nothing is done."""
        if not probes:
            return PassResult(graph=graph)
        model = graph.edit()
        sites = [site for node in model.graph if (site := _site(node)) is not None]
        seen = [chain_shapes(graph, [[a, c] for a, _, c in sites], feeds) for feeds in (probes.first, probes.second)]
        editor = Editor(model)
        applied = 0
        for site in sites:
            applied += all(_same_rows(site, shapes) for shapes in seen) and _lift(editor, site)
        if not applied:
            return PassResult(graph=graph)
        editor.close()
        return PassResult(graph=Graph.of(model), applied=applied)


Site = tuple[ir.Node, ir.Node, ir.Node]


def _site(node: ir.Node) -> Site | None:
    if node.op_type not in ("Gemm", "MatMul") or attribute(node, "transA", 0) or node.outputs[0].is_graph_output():
        return None
    before = node.inputs[0].producer() if node.inputs[0] is not None else None
    users = [user for user, _ in node.outputs[0].uses()]
    plain = attribute(node, "alpha", 1.0) == attribute(node, "beta", 1.0) == 1.0
    if before is None or before.op_type != "Reshape" or len(users) != 1 or users[0].op_type != "Reshape" or not plain:
        return None
    w, b = array_of(node.inputs[1]), array_of(node.inputs[2]) if len(node.inputs) > 2 else np.zeros(1)
    known = w is not None and w.ndim == 2 and b is not None and b.ndim == 1
    return (before, node, users[0]) if known else None


def _same_rows(site: Site, shapes: Shapes) -> bool:
    before, _, after = site
    names = [str(value.name) for value in (before.inputs[0], before.outputs[0], after.outputs[0]) if value is not None]
    if len(names) != 3 or any(name not in shapes for name in names):
        return False
    x, flat, y = (shapes[name] for name in names)
    return len(x) > 2 and x[:-1] == y[:-1] and x[-1] == flat[-1]


def _lift(editor: Editor, site: Site) -> bool:
    before, gemm, after = site
    w = array_of(gemm.inputs[1])
    if w is None:
        return False
    w = w.T if attribute(gemm, "transB", 0) else w
    name = str(gemm.name)
    gemm.name = f"{name}_gone"
    new = editor.node(gemm, "MatMul", [before.inputs[0], editor.weight(f"{name}_w", w)], name=f"{name}_rows")
    new.name = name  # its place in the user's graph is known by this name
    y = new.outputs[0]
    if len(gemm.inputs) > 2 and gemm.inputs[2] is not None:
        y = editor.node(gemm, "Add", [y, gemm.inputs[2]], name=f"{name}_bias").outputs[0]
    editor.supplant(after.outputs[0], y)
    return True
